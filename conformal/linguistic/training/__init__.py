"""Training a causal language model to state confidences that mean what they say (arXiv 2404.00474, section 4), with TRL.

Stage one, `supervised`: sample several short answers a question from the base model, merge them into a paragraph whose
confidences are their frequencies, fine-tune on it. Stage two, `reinforcement`: maximise a bounded proper score of the
probability a reader takes from the paragraph for the true answer, less a KL term. `recipe.train` runs both and judges on
held-out entities with a reader that had no part in training; `demonstration.demonstrate` does so in a synthetic world.

Deviations from the paper, each explained where it is made: answers are merged by rule, not by a second model (`merging`); the
published reward is offered, a corrected one is the default (`reward`); RLOO for PPO, an unbiased KL term for a clamped one, no
whitening (`reinforcement`); the reader that rewards parses stated numbers and is not trained (`reading`); the last step's model
is kept, not the best of five on validation questions, which would need a third split.

Group `training` (torch, transformers, TRL). No other room of `conformal` imports these packages. Training is not bit-exact
across machines or versions: a seed fixes the data, the order and the samples, not the floating-point sums.
"""
