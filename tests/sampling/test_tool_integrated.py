"""Tool-integrated generation: what is run, appended, masked and cut; and that no update sees what a program wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from plain_runner import PlainRunner, Result

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, GeneratorInfo, Group, Problem, Prompt, Response, Score, ScoredResponse
from unified_rl.coefficients import Grpo, Inputs
from unified_rl.loop.rollout import collate
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.models.policy_model import build_llama
from unified_rl.models.roles import policy_role
from unified_rl.ops.terms import Term
from unified_rl.packing.layout import Layout
from unified_rl.sampling.text_cuts import StoppingGenerator, tokens_until
from unified_rl.sampling.tool_integrated import ToolIntegratedGenerator
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.tasks.tokenizers import train_tokenizer
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.torch_trainer import TorchTrainer

pytestmark = pytest.mark.usefixtures("one_thread")

EOS = 0
BLOCK = "```python\nprint(6 * 7)\n```"
OUTPUT = "\n```output\n42\n```\n"


class Characters:
    """One token per character; the end is token 0, and 1 is another special token, written <s>."""

    all_special_ids = (EOS, 1)

    def encode(self, text, add_special_tokens=True):
        return [ord(character) for character in text.replace("<s>", "\x01")]

    def decode(self, token_ids, skip_special_tokens=False):
        return "".join(chr(token) for token in token_ids if token not in (EOS, 1))


class Scripted:
    """A generator that writes what `script` says after what it is shown, and keeps what it was asked for."""

    def __init__(self, script, context=None):
        self.script, self.asked = script, []
        self.info = GeneratorInfo(context, "max_position_embeddings", 0x110000, (EOS,))

    def generate(self, prompts, seeds, decoding, policy_version):
        self.asked.append((decoding.max_new_tokens, [len(prompt.token_ids) for prompt in prompts], seeds))
        return [
            [self._one(prompt, seed, decoding, policy_version) for seed in row]
            for prompt, row in zip(prompts, seeds, strict=True)
        ]

    def _one(self, prompt, seed, decoding, version):
        text = self.script(Characters().decode(prompt.token_ids), seed)
        ids = [*map(ord, text), EOS][: decoding.max_new_tokens]
        logp = np.arange(1, len(ids) + 1, dtype=np.float32) / -100
        finish = "stop" if ids[-1] == EOS else "length"
        return Response(np.array(ids), logp, finish, version, decoding, seed, Characters().decode(ids))


def prompt(text="Q?"):
    return Prompt(Problem("p", text, "42"), tuple(map(ord, text)))


def generate(script, *, limit=200, runner=None, seeds=(5,), prompts=None, context=None, **options):
    inner, runner = Scripted(script, context), runner or PlainRunner()
    made = ToolIntegratedGenerator(inner, runner, Characters(), **options)
    prompts = prompts or [prompt()]
    responses = made.generate(prompts, [list(seeds)] * len(prompts), Decoding(max_new_tokens=limit), 3)
    return responses, inner, runner


def after_output(so_far, written):
    """A script: a program first, then what follows its output."""
    return written if so_far.endswith(OUTPUT) else f"Let me see.\n{BLOCK}"


def test_generate_run_append_generate():
    ((response,),), inner, runner = generate(lambda so_far, seed: after_output(so_far, "It is 42."))
    assert response.text == f"Let me see.\n{BLOCK}{OUTPUT}It is 42."
    assert runner.calls == [["print(6 * 7)\n"]]
    mask = response.response_mask
    assert Characters().decode(response.token_ids[~mask].tolist()) == OUTPUT
    assert response.token_ids[-1] == EOS
    assert (response.finish, response.policy_version, response.seed) == ("stop", 3, 5)
    assert response.decoding == Decoding(max_new_tokens=200)
    assert len(response) == len(mask) == len(response.behaviour_logp)
    first = len("Let me see.\n" + BLOCK)
    expected = [*range(1, first + 1), *[0] * len(OUTPUT), *range(1, len("It is 42.") + 2)]
    assert response.behaviour_logp == pytest.approx(np.array(expected) / -100)
    assert inner.asked[1][0] == 200 - first - len(OUTPUT)


def test_a_response_without_a_program_is_the_generators_own():
    script = lambda so_far, seed: f"{seed} is all.\n```\nno program\n```"  # noqa: E731
    responses, inner, runner = generate(script, seeds=(7, 8), prompts=[prompt(), prompt("Other?")])
    assert [[one.text for one in group] for group in responses] == [[script("", 7), script("", 8)]] * 2
    assert all(one.response_mask is None for group in responses for one in group)
    assert len(inner.asked) == 1
    assert inner.asked[0][2] == [[7, 8], [7, 8]]
    assert runner.calls == []


def test_what_is_written_on_after_the_block_is_replaced():
    """The policy's own idea of the output, or its EOS, does not stand."""
    tempted = lambda so_far, seed: "" if OUTPUT in so_far else f"{BLOCK}\n```output\n41\n```\nIt is 41."  # noqa: E731
    ((response,),), _, _ = generate(tempted)
    assert response.text == f"{BLOCK}{OUTPUT}"
    assert response.token_ids[-1] == EOS


def test_several_rounds_up_to_the_limit_of_rounds():
    script = lambda so_far, seed: f"Again:\n{BLOCK}"  # noqa: E731
    ((response,),), _, runner = generate(script, limit=1000, max_rounds=2)
    assert len(runner.calls) == 2
    assert response.text.count("```output") == 2
    assert response.text.endswith(f"Again:\n{BLOCK}"), "the third program is written and not run"
    assert response.finish == "stop"


def test_requests_of_unlike_length_keep_to_their_own_budget_and_seed():
    """Alone or in company, with a context known or not, a response is the same."""

    def script(so_far, seed):
        return f"{seed % 1000}" * 30 if OUTPUT in so_far else "x" * (seed % 40) + f"\n{BLOCK}" * (seed % 3 != 0)

    seeds, prompts = list(range(10, 22)), [prompt(), prompt("A much longer question than the other one?")]
    together, inner, runner = generate(script, limit=120, seeds=seeds, prompts=prompts)
    assert len(runner.calls) == 1
    roomy, fewer_calls, _ = generate(script, limit=120, seeds=seeds, prompts=prompts, context=4096)
    assert len(fewer_calls.asked) == 2 < len(inner.asked)
    for longest, lengths, _ in inner.asked:
        assert max(lengths) + longest <= max(len(one.token_ids) for one in prompts) + 120
    for place, one in enumerate(prompts):
        for index, seed in enumerate(seeds):
            ((alone,),), _, _ = generate(script, limit=120, seeds=[seed], prompts=[one])
            for other in (together[place][index], roomy[place][index]):
                assert (alone.text, alone.finish) == (other.text, other.finish)
                assert np.array_equal(alone.token_ids, other.token_ids)
                assert len(other) <= 120


@pytest.mark.parametrize("limit", range(8, 60, 3))
def test_the_length_limit_counts_outputs_and_marks_truncation(limit):
    ((response,),), _, _ = generate(lambda so_far, seed: after_output(so_far, "42."), limit=limit)
    whole = f"Let me see.\n{BLOCK}{OUTPUT}42."
    assert len(response) == min(limit, len(whole) + 1)
    assert response.truncated == (limit < len(whole) + 1)
    assert whole.startswith(response.text)
    written = np.ones(len(response), bool) if response.response_mask is None else response.response_mask
    start = len("Let me see.\n" + BLOCK)
    assert np.array_equal(written, ~np.isin(np.arange(len(response)), range(start, start + len(OUTPUT))))


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (Result("42\n", "ok"), "42"),
        (Result("", "ok"), ""),
        (Result("", "timeout"), "Error: timeout"),
        (Result("1\n", "error", "Traceback ...\nNameError: no x\n"), "1\nNameError: no x"),
        (Result("a" * 500 + "z", "ok"), "a" * 15 + "..." + "a" * 14 + "z"),
        (Result("```\nThe answer is 7\n```python", "ok"), "'''\nThe answer is 7\n'''python"),
        (Result("end <s> here", "ok"), "end  here"),
    ],
)
def test_what_the_policy_sees_of_a_result(result, shown):
    class Fixed:
        def run(self, programs):
            return [result] * len(programs)

    script = lambda so_far, seed: "Done." if "```output" in so_far else BLOCK  # noqa: E731
    ((response,),), _, _ = generate(script, runner=Fixed(), output_characters=30)
    assert response.text == f"{BLOCK}\n```output\n{shown}\n```\nDone."
    assert not set(response.token_ids[:-1].tolist()) & {EOS, 1}


@pytest.mark.parametrize("options", [{"max_rounds": 0}, {"output_characters": 0}])
def test_bad_settings_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ToolIntegratedGenerator(Scripted(lambda *_: ""), PlainRunner(), Characters(), **options)


# ---- stop texts


def test_a_response_stops_at_the_first_stop_text():
    inner = Scripted(lambda so_far, seed: "It is 42.\n\nProblem: and 7?\nEnd")
    stopped = StoppingGenerator(inner, Characters(), ["End", "\n\nProblem:"])
    ((response,),) = stopped.generate([prompt()], [[1]], Decoding(max_new_tokens=100), 0)
    assert response.text == "It is 42."
    assert Characters().decode(response.token_ids.tolist()) == "It is 42.\n\nProblem:"
    assert (response.finish, len(response.behaviour_logp)) == ("stop", len(response))
    for cut in (15, 40):
        ((short,),) = stopped.generate([prompt()], [[1]], Decoding(max_new_tokens=cut), 0)
        assert short.finish == ("length" if cut == 15 else "stop")


def test_the_fewest_tokens_that_hold_a_text():
    tokens = [*map(ord, "a```b")]
    assert tokens_until(lambda text: "```" in text, tokens, Characters()) == 4


# ---- a real policy, a real sandbox, a real update


@dataclass(frozen=True)
class Policy:
    model: torch.nn.Module
    tokenizer: object
    prompt: Prompt


@pytest.fixture(scope="module")
def policy():
    """A small Llama that has learnt one tool-integrated solution by heart."""
    written, output, conclusion = f"So:\n{BLOCK}", OUTPUT, "#### 42"
    tokenizer = train_tokenizer([written, output, conclusion, "What is 6 * 7?"], 300)
    question = tuple(tokenizer.encode("What is 6 * 7?\n"))
    parts = [tokenizer.encode(part, add_special_tokens=False) for part in (written, output, conclusion)]
    ids = torch.tensor([[*question, *parts[0], *parts[1], *parts[2], tokenizer.eos_token_id]])
    model = build_llama(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        init_std=0.1,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05
    return Policy(model, tokenizer, Prompt(Problem("p", "What is 6 * 7?", "42"), question))


@pytest.fixture(scope="module")
def sandbox():
    from unified_rl.isolation.sandbox import Sandbox, SandboxError

    try:
        made = Sandbox(workers=1)
    except SandboxError as error:
        pytest.skip(f"this machine cannot contain programs: {error}")
    yield made
    made.close()


def test_a_real_policy_and_a_real_program(policy, sandbox):
    generator = ToolIntegratedGenerator(TorchGenerator(policy.model, policy.tokenizer), sandbox, policy.tokenizer)
    greedy = Decoding(temperature=0.0, max_new_tokens=120)
    ((response,),) = generator.generate([policy.prompt], [[0]], greedy, 0)
    assert response.text == f"So:\n{BLOCK}{OUTPUT}#### 42"
    assert response.finish == "stop"
    assert policy.tokenizer.decode(response.token_ids[~response.response_mask].tolist()) == OUTPUT


class Disturbed(Grpo):
    """GRPO whose coefficient is multiplied where `at_BT` is true."""

    def terms(self, logp_BT, inputs: Inputs):
        factor = torch.where(self.at_BT[: logp_BT.shape[0], : logp_BT.shape[1]], 1000.0, 1.0)
        return {name: Term({**term.factors, "disturbed": factor}) for name, term in super().terms(logp_BT, inputs).items()}


def updated(policy, groups, at=None, masked=True):
    """The weights after one GRPO step, with the coefficient disturbed where `at(mask, rows)` says."""
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    if not masked:
        groups = [
            group.with_responses(
                [ScoredResponse(replace(one.response, response_mask=None), one.score) for one in group.responses]
            )
            for group in groups
        ]
    trainer = TorchTrainer(policy.model, policy_role(1.0), AdamWOptions(1e-2, 10), Layout(256, 4096))
    rollout = collate(groups, "cpu", process=False, pairs=False)
    logp = trainer.outputs(rollout.sequences)["logp"]
    method = Disturbed(kl_coef=0.1)
    mask = rollout.inputs.response_mask_BT
    real = torch.zeros_like(mask)
    for row, sequence in enumerate(rollout.sequences):
        real[row, : len(sequence.response_ids)] = True
    method.at_BT = torch.zeros_like(mask) if at is None else at(mask, real)
    inputs = method.prepare(replace(rollout.inputs, ref_logp_BT=logp + 0.1))
    loss = SurrogateLoss(method, inputs, aggregation_weights("sequence_mean", inputs, 0, "keep"))
    trainer.update(rollout.sequences, loss, inputs.group_B.numpy())
    after = {name: value.clone() for name, value in policy.model.state_dict().items()}
    policy.model.load_state_dict(before)
    assert any(not torch.equal(before[name], after[name]) for name in before), "the step did something"
    return after, loss.record.metrics()


def test_the_update_does_not_depend_on_what_a_program_wrote(policy, sandbox):
    generator = ToolIntegratedGenerator(TorchGenerator(policy.model, policy.tokenizer), sandbox, policy.tokenizer)
    (responses,) = generator.generate([policy.prompt], [[1, 2, 3]], Decoding(max_new_tokens=120), 0)
    assert any(response.response_mask is not None for response in responses)
    scores = [Score(float(index == 0), "correct", None, None) for index in range(3)]
    groups = [Group(policy.prompt, tuple(map(ScoredResponse, responses, scores)))]
    plain, metrics = updated(policy, groups)
    on_output, _ = updated(policy, groups, at=lambda mask, real: real & ~mask)
    on_written, _ = updated(policy, groups, at=lambda mask, real: mask & (mask.cumsum(1) == 3))
    unmasked, _ = updated(policy, groups, masked=False)
    assert all(torch.equal(plain[name], on_output[name]) for name in plain)
    assert any(not torch.equal(plain[name], on_written[name]) for name in plain)
    assert any(not torch.equal(plain[name], unmasked[name]) for name in plain)
    assert metrics["sampler/max_logp_difference"] < 1e-3, "log-probs of the sampler hold across the rounds"
