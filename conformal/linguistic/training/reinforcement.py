"""Stage two: reinforcement learning with the decision-based reward, by TRL's RLOO trainer.

Deviation from the paper, which used PPO: TRL no longer ships a PPO trainer. With discount and lambda 1, as published, PPO's
return is the whole sequence's reward less its KL; RLOO (arXiv 2402.14740) keeps that return and replaces the learnt value by
the mean of the other samples of the same question. GRPO is not used: it divides by each question's own spread, which weighs a
question by its outcome and drives stated confidences to the extremes (arXiv 2508.11800).

KL: coefficient 0.1 to the supervised model, as published, inside the reward. Correction: the log ratio of the whole paragraph
with its sign, which is an unbiased estimate; the released code clamps it at zero from above for every token and so is one-sided.
Rewards are not whitened: dividing by the spread of a batch changes the weight of the KL term from batch to batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conformal.linguistic.training.folder import import_transformers, open_folder
from conformal.linguistic.training.questions import Question, TrainingError, prompt_of
from conformal.linguistic.training.reward import RewardRule
from conformal.linguistic.training.settings import Settings
from conformal.linguistic.training.trainer_setup import Watcher, common_settings, run_trainer, silence, watching_callback

Read = Callable[[Question, str], Mapping[str, float]]


def reinforce(
    supervised: Path,
    questions: Sequence[Question],
    read: Read,
    rule: RewardRule,
    out: Path,
    checkpoints: Path,
    settings: Settings,
    watcher: Watcher,
) -> list[dict[str, Any]]:
    """Train the supervised model on the reward of `read`; the model goes to `out`. Returns the log.

    Raises TrainingError, TrainingStopped.
    """
    import_transformers()
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    tokenizer, model = open_folder(supervised)
    group = settings.generations
    if settings.reward_batch % group or len(questions) < settings.reward_batch // group:
        raise TrainingError(
            f"a step takes {settings.reward_batch} paragraphs, {group} a question: the number must divide, and there must be "
            f"{settings.reward_batch // group} questions or more (there are {len(questions)})"
        )
    config = RLOOConfig(
        **common_settings(
            checkpoints,
            rate=settings.reward_rate,
            batch=settings.reward_batch // settings.accumulation,
            seed=settings.seed,
            save_steps=settings.save_steps,
        ),
        gradient_accumulation_steps=settings.accumulation,
        max_steps=settings.reward_steps,
        warmup_steps=settings.warmup_steps,
        num_generations=group,
        max_completion_length=settings.paragraph_tokens,
        temperature=settings.reward_temperature,
        beta=settings.kl_weight,
        normalize_advantages=False,
        mask_truncated_completions=False,
    )
    trainer = silence(RLOOTrainer)(
        model=model,
        reward_funcs=reward_function(questions, read, rule),
        args=config,
        train_dataset=Dataset.from_list([{"prompt": prompt_of(q.text), "number": i} for i, q in enumerate(questions)]),
        processing_class=tokenizer,
        callbacks=[watching_callback(watcher)],
    )
    log = run_trainer(trainer, checkpoints, watcher)
    trainer.model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return log


def reward_function(questions: Sequence[Question], read: Read, rule: RewardRule) -> Callable[..., list[float]]:
    """The rule in the form TRL calls: completions and the row numbers of their questions to rewards."""

    def reward(completions: Sequence[str], number: Sequence[int], **_: Any) -> list[float]:
        return [rule.score(read(questions[i], text), questions[i].answers) for i, text in zip(number, completions, strict=True)]

    return reward
