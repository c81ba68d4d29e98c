"""The tables of docs/methods.md, from the registries."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.methods.losses import LOSSES
from unified_rl.methods.signals import ROLES, SIGNALS, Role


def signals_table() -> str:
    """Every signal: its field, whose pass gives it, and when."""
    when = {
        "rollout": "once per rollout",
        "update": "before each update, by passes of its own",
        "micro_batch": "with every micro-batch",
        "prompt": "once per rollout, kept in checkpoints",
        "reward": "with each response's rewards",
        "source": "with each prompt's responses",
        "chance": "before each update",
    }
    without_role = {
        "prompt": "{} of the prompt's earlier rewards",
        "reward": "{} of each of several rewards, in their order",
        "source": "the prompt's {}",
        "chance": "{} in [0, 1), by seed, update and place",
    }

    def named(output: str) -> str:
        return output.replace("_", " ")

    rows = [
        (
            f"`{one.name}`",
            f"`inputs.{one.field}`",
            (f"{one.output} of the {ROLES[one.role].label}" if one.role else without_role[one.when].format(named(one.output))),
            when[one.when],
        )
        for one in SIGNALS.values()
    ]
    return _table(("`needs`", "field", "what", "when"), rows)


def roles_table() -> str:
    """Every model role, and where its weights come from."""
    return _table(("role", "weights"), [(role.label, _weights(role)) for role in ROLES.values()])


def losses_table() -> str:
    """Every named loss, and how it comes into a run."""
    rows = [
        (
            f"`{loss.name}`",
            f"`{loss.formula}`".replace("|", "\\|"),
            f"the {ROLES[loss.role].label}'s own update, where a coefficient needs one"
            if ROLES[loss.role].options
            else f"added to the {ROLES[loss.role].label}'s update with weight `losses.{loss.name}`",
        )
        for loss in LOSSES.values()
    ]
    return _table(("loss", "per response token, minimised", "where"), rows)


def _weights(role: Role) -> str:
    """Where a role's weights come from."""
    if role.options:
        return f"trained beside the policy: `{'`, `'.join(f'coefficient.{option}' for option in role.options)}`"
    if not role.frozen:
        return "trained"
    if role.setting:
        return f"frozen: `{role.setting}`"
    return f"frozen: `{role.name}=DIR`, by default the policy that training starts from"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(line) for line in (heading, *rows)]
    return "\n".join([f"| {lines[0]} |", "|" + "---|" * len(heading), *(f"| {line} |" for line in lines[1:])])
