"""From an answer to claims: by rules, without a second model, or by asking a model."""
