#!/usr/bin/env bash
# The first hour of somebody new, from a wheel in an empty folder: five lines of Python, one's own CSV, reward and coefficient on the
# command line, a 2 x 2 x 2 grid and its page. `examples/stranger.sh`; PYTHON names an interpreter that has the dependencies.
set -euo pipefail
python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)')
examples=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== a wheel, and nothing else of this folder"
mkdir "$work/source" "$work/empty"
cp -r "$examples"/../{pyproject.toml,README.md,LICENSE,unified_rl} "$work/source"
"$python" -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir "$work/wheel" "$work/source"
"$python" -m pip --disable-pip-version-check install --quiet --no-deps --target "$work/site" "$work"/wheel/*.whl
cd "$work/empty"
export PYTHONPATH=$work/site
unified_rl() { "$python" -m unified_rl.cli "$@"; }
"$python" -c "import unified_rl; assert unified_rl.__file__.startswith('$work/site'), unified_rl.__file__"

echo "== five lines of Python"
cp "$examples"/{tiny,five_lines,own_coefficient}.py .
"$python" five_lines.py

echo "== the command line: data, a reward and a coefficient of one's own"
cp five_lines/qa.csv .
cat > my_reward.py <<'PYTHON'
def reward(prompt, response, answer):
    return {"right": response.strip() == answer, "short": -len(response) / 100}
PYTHON
small=(
    model.hidden_size=64 model.num_heads=2 model.num_layers=1 model.intermediate_size=96 model.vocabulary=300
    sft.steps=60 sft.sequences_per_step=16 rollout.prompts_per_step=8 rollout.responses_per_prompt=4
    generator.max_new_tokens=12 evaluation.max_new_tokens=12 task=table task.options.grading_workers=1 data=qa.csv
    logging.curve_every=4 logging.curve_problems=8 threads=1 artifacts=five_lines/artifacts
)
unified_rl explain method=grpo reward=my_reward.py:reward "${small[@]}" | head -n 3
unified_rl train method=grpo reward=my_reward.py:reward coefficient=own_coefficient.py:PositiveOnly steps=4 "${small[@]}" run_dir=mine
unified_rl evaluate run=mine samples=4
unified_rl show mine

echo "== a grid of 2 x 2 x 2 on one line, and its page"
unified_rl grid coefficient=grpo,rloo coefficient.kl_coef=0,0.04 aggregation=sequence_mean,batch_token_mean steps=2 \
    reward=my_reward.py:reward evaluation.samples=4 "${small[@]}" out=grid
test -s grid/index.html
unified_rl grid coefficient=grpo,rloo coefficient.kl_coef=0,0.04 aggregation=sequence_mean,batch_token_mean steps=2 \
    reward=my_reward.py:reward evaluation.samples=4 "${small[@]}" out=grid --status
echo "== done"
