"""Stage one, summary distillation: supervised fine-tuning on paragraphs that state how often each answer was sampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformal.linguistic.training.folder import import_transformers, open_folder
from conformal.linguistic.training.merging import first_answer, merge
from conformal.linguistic.training.questions import Question, prompt_of
from conformal.linguistic.training.sampling import complete
from conformal.linguistic.training.settings import Settings
from conformal.linguistic.training.trainer_setup import Watcher, common_settings, run_trainer, silence, watching_callback


def sample_paragraphs(model_folder: Path, questions: Sequence[Question], settings: Settings, watcher: Watcher) -> list[str]:
    """For every question, the merged paragraph of `settings.samples` answers of the base model. Raises TrainingError."""
    tokenizer, model = open_folder(model_folder)
    prompts = [prompt_of(question.text) for question in questions]
    paragraphs: list[str] = []
    size = max(1, settings.sampling_batch // settings.samples)
    for start in range(0, len(prompts), size):
        watcher.check()
        drawn = complete(
            tokenizer,
            model,
            prompts[start : start + size],
            tokens=settings.answer_tokens,
            temperature=settings.sample_temperature,
            samples=settings.samples,
            seed=settings.seed + start,
            batch=settings.sampling_batch,
        )
        paragraphs.extend(merge([first_answer(text) for text in texts], settings.most_answers) for texts in drawn)
        watcher.progress(len(paragraphs) / len(prompts), f"{len(paragraphs)} of {len(prompts)} questions")
    return paragraphs


def fine_tune(
    model_folder: Path,
    examples: Sequence[tuple[str, str]],
    out: Path,
    checkpoints: Path,
    settings: Settings,
    watcher: Watcher,
) -> list[dict[str, Any]]:
    """Train on (question, paragraph) pairs, the loss on the paragraph alone; the model goes to `out`. Returns the log.

    Raises TrainingError, TrainingStopped.
    """
    import_transformers()
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer, model = open_folder(model_folder)
    rows = Dataset.from_list([{"prompt": prompt_of(q), "completion": " " + text} for q, text in examples])
    config = SFTConfig(
        **common_settings(
            checkpoints,
            rate=settings.supervised_rate,
            batch=settings.supervised_batch,
            seed=settings.seed,
            save_steps=settings.save_steps,
        ),
        num_train_epochs=settings.supervised_epochs,
        warmup_steps=settings.warmup_steps,
        max_length=settings.question_tokens + settings.paragraph_tokens,
        completion_only_loss=True,
        packing=False,
    )
    tokenizer.padding_side = "right"
    trainer = silence(SFTTrainer)(
        model=model, args=config, train_dataset=rows, processing_class=tokenizer, callbacks=[watching_callback(watcher)]
    )
    log = run_trainer(trainer, checkpoints, watcher)
    trainer.model.save_pretrained(out)
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(out)
    return log
