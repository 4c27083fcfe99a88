"""What is said of looks and of the budget of false pushes, in words."""

from collections.abc import Iterable

from tfx_tflite.components.destinations.ledger import JudgedModel, Night
from tfx_tflite.components.judgement.judging import as_percentage
from tfx_tflite.components.report.wording import count


def notes_of(judged: JudgedModel | None) -> tuple[str, ...]:
    """Returns what a reader should know of how a model was judged.

    Args:
        judged: The judgement; None if nothing was counted.
    """
    if judged is None:
        return ()
    later = [rule for rule in judged.rules if rule.look > 1]
    notes = []
    if later:
        rule = max(later, key=lambda each: each.look)
        notes.append(
            f"this is look {rule.look} at this model, so {rule.rule.partition(':')[0]} was judged "
            f"at {level_text(rule.level)} instead of {level_text(rule.alpha)}: whoever asks again "
            "until the answer is yes would push bad models"
        )
    if judged.night is not None:
        notes.append(night_text(judged.night))
    return tuple(notes)


def night_text(night: Night) -> str:
    """Returns a model's place in the budget, as a sentence."""
    return (
        f"model {count(night.number)} of {count(night.over)} that share a probability of "
        f"{level_text(night.false_pushes)} for any wrong push; its part is "
        f"{level_text(night.level)}"
    )


def level_text(level: float) -> str:
    """Returns a probability of a wrong push.

    Example:
        >>> level_text(0.05), level_text(0.05 / 6), level_text(0.05 / 365)
        ('5%', '0.83%', '0.014%')
    """
    return as_percentage(level, level)


def summary_of(judgements: Iterable[JudgedModel]) -> str:
    """Returns how many judgements were counted, and where the budget is; empty if there are none.

    Args:
        judgements: All at a destination, the oldest first.
    """
    found = list(judgements)
    if not found:
        return ""
    models = {judged.float_model for judged in found}
    blessed = sum(judged.blessed for judged in found)
    text = (
        f"{count(len(found))} judgement{'' if len(found) == 1 else 's'} of {count(len(models))} "
        f"float model{'' if len(models) == 1 else 's'} counted, {count(blessed)} blessed"
    )
    nights = [judged.night for judged in found if judged.night is not None]
    if not nights:
        return text
    last = max(nights, key=lambda night: (night.block, night.number))
    return f"{text}; {night_text(last)}"
