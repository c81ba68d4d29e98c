"""Benchmark records in the layouts in which their publishers keep them."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_parquet(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)


def math(rows: list[dict], folder: Path) -> None:
    """One Parquet file per subject and split; no field for the answer."""
    by_subject = defaultdict(list)
    for row in rows:
        by_subject[row["type"]].append({name: row[name] for name in ("problem", "level", "type", "solution")})
    for subject, of_subject in by_subject.items():
        write_parquet(folder / subject.lower().replace(" ", "_") / "test-00000-of-00001.parquet", of_subject)


def math_archive(rows: list[dict], folder: Path) -> None:
    """One JSON file per problem."""
    for index, row in enumerate(rows):
        path = folder / "test" / row["type"].lower() / f"{index:05d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({name: row[name] for name in ("problem", "level", "type", "solution")}))


def math500(rows: list[dict], folder: Path) -> None:
    write_jsonl(folder / "test.jsonl", rows)


def cmath(rows: list[dict], folder: Path) -> None:
    write_jsonl(folder / "cmath_test.jsonl", rows)
    write_jsonl(folder / "cmath_dev.jsonl", rows[:1])


def mgsm_zh(rows: list[dict], folder: Path) -> None:
    """Tab-separated, without header, beside other languages."""
    lines = [f"{row['messages'][0]['content']}\t{row['answer']}\n" for row in rows]
    (folder / "mgsm_zh.tsv").write_text("".join(lines), encoding="utf-8")
    (folder / "mgsm_en.tsv").write_text("How many?\t7\n")


def gaokao_mathcloze(rows: list[dict], folder: Path) -> None:
    rows = [{"query": f"问题：{row['question']}\n答案：", "answer": row["answer"]} for row in rows]
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", rows)


def gaokao_mathqa(rows: list[dict], folder: Path) -> None:
    """Question and options in one text, the options again, and the indices of the right ones."""
    upstream = [
        {
            "query": f"问题：{row['question']} 选项：{' '.join(row['options'])}\n答案：从A到D, 我们应选择",
            "choices": row["options"],
            "gold": ["ABCD".index(letter) for letter in row["label"].replace(" ", "")],
        }
        for row in rows
    ]
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", upstream)


def sat_math(rows: list[dict], folder: Path) -> None:
    with (folder / "SAT_Questions_multiple_choice.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Question", "Possible Answers", "Answer"])
        writer.writerows([row["question"], row["options"], row["Answer"]] for row in rows)


def ocw(rows: list[dict], folder: Path) -> None:
    write_jsonl(folder / "test.jsonl", [{"question": row["problem"], "answer": row["answer"]} for row in rows])


def mmlu_stem(rows: list[dict], folder: Path) -> None:
    """All subjects in one file, the answer as an index."""
    upstream = [
        {
            "question": row["question"],
            "subject": row["topic"],
            "choices": [option if isinstance(option, str) else "None" for option in row["options"]],
            "answer": "ABCD".index(row["answer"]),
        }
        for row in rows
    ]
    law = {"question": "Who?", "subject": "professional_law", "choices": ["x", "y", "z", "w"], "answer": 0}
    write_parquet(folder / "all" / "test-00000-of-00001.parquet", [law, *upstream])


WRITERS = {
    "math": math,
    "math500": math500,
    "cmath": cmath,
    "mgsm_zh": mgsm_zh,
    "gaokao_mathcloze": gaokao_mathcloze,
    "gaokao_mathqa": gaokao_mathqa,
    "sat_math": sat_math,
    "ocw": ocw,
    "mmlu_stem": mmlu_stem,
}
