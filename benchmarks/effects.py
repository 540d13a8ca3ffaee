"""Train a second ear for effects beside the rules, and measure it on phrases it has not heard.

    python -m benchmarks.effects [--public DIR]

`samples/effects` says what the data is. `--public` names a directory with `gsm8k` and `taskbench`
(both MIT), whose sums and picture tasks want no effect however much is bought in them. Prints what
five-fold cross-validation finds on phrases left out, for the rules alone, the model alone and
both, and what they make of the requests in the tests, which are never trained on.
"""

import argparse
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.effects_model import EffectsModel, sentence_features, sentences
from dryad.orchestration.offline_planner import OPERATE, offline_plan

HERE = Path(__file__).parent / "samples" / "effects"
TESTS = Path(__file__).parents[1] / "tests" / "dryad" / "orchestration" / "data"
PENALTY = 1.0
SEED = 7

WANTED = """{v}|{v}.|Please {v}.|Could you {v}?|can you {v} pls|I need you to {v}.
We have to {v} before Friday, please see to it.|Somebody should {v}.|{V}, it is urgent.
Go ahead and {v}.|If nobody objects, {v}.|{N}, then {v}.|{N} and {v}.|{N}. After that, {v}.
{V} and {n}.|{N}. {V}.|As soon as that is clear, {v}.|hi, would you {v} today? thanks|{V}; {n}.
I'd like you to {v} and let me know when it is done."""
ASKED_ABOUT = """How do I {v}?|Explain how to {v}.|Write a checklist for how to {v}.
What would it take to {v}?|Do not {v} yet, only {n}.|Should we {v}? Give me the arguments.
I want to {v} myself; tell me what I need for that.|What happens when people {v}?
Draft a note on whether to {v}.|Describe how we {v} and {v2}.|Who may {v}?|Why did they {v}?
{N}. Nobody should {v} for now.|Compare the ways to {v}.|Tell me what it would cost to {v}."""
HARMLESS = """{v}|{v}.|Please {v}.|Could you {v}?|can you {v} pls|I need you to {v}.
Somebody should {v}.|{V}, it is urgent.|{N}, then {v}.|{N} and {v}.|{N}. {V}.
If there is anything in the files, {v}.|hi, would you {v} today? thanks"""
SIDE_BY_SIDE = """{V}, and separately {n}.|{V}; {n}.|{V}; {n}; {m}.|{V}. Separately, {n}.
{V}. Unrelated to that: {n}.|Two things that have nothing to do with each other: {v} and {n}.
Three independent pieces please: {v}, {n}, {m}.|At the same time {v} and {n}.
Somebody should {v} while somebody else should {n}.|In parallel: {v}; {n}.|- {v}\n- {n}\n- {m}
One of you can {v}, another can {n}; then bring it together.|{V}. Also {n}. Also {m}.
I need {v}, {n} and {m}. Neither depends on the others.|{V} and, independently of it, {n}."""


@dataclass(frozen=True)
class Request:
    """A request, whether it wants an effect, and the phrase it was made from."""

    text: str
    wants: bool
    phrase: str


def main() -> None:
    """Measure, and write the model when asked to."""
    options = argparse.ArgumentParser()
    options.add_argument("--public", type=Path)
    chosen = options.parse_args()
    data = [*framed(), *(public(chosen.public) if chosen.public else ())]
    wants = np.array([request.wants for request in data])
    print(f"{len(data)} requests, {wants.sum()} want an effect")
    by_rules = np.array([rules_hear(request.text) for request in data])
    chances = left_out(data)
    tell("rules", by_rules, wants)
    for threshold in (0.2, 0.3, 0.4, 0.5):
        tell(f"model from {threshold}", chances >= threshold, wants)
        tell(f"both from {threshold}", (chances >= threshold) | by_rules, wants)
    for low in np.arange(0, 1, 0.1):
        there = (chances >= low) & (chances < low + 0.1)
        print(f"chance {low:.1f}: {there.sum()} requests, {wants[there].mean():.2f} want an effect")

    model = train(data)
    for name in ("routing_fresh", "routing_by_others"):
        asked = [json.loads(line) for line in (TESTS / f"{name}.jsonl").read_text().splitlines()]
        wants = np.array([one["route"] == "escalation" for one in asked])
        by_rules = np.array([rules_hear(one["text"]) for one in asked])
        said = np.array(
            [
                max(
                    model.log_odds(part)
                    for step in offline_plan(one["text"]).steps
                    for part in sentences(step.text)
                )
                >= 0
                for one in asked
            ]
        )
        tell(f"{name} rules", by_rules, wants)
        tell(f"{name} both from 0.5", said | by_rules, wants)


def tell(name: str, said: np.ndarray, wants: np.ndarray) -> None:
    """Print how many effects were heard, and how often one was heard that is not there."""
    print(f"{name:<16} heard {said[wants].mean():.3f}  in vain {said[~wants].mean():.3f}")


def rules_hear(text: str) -> bool:
    """Whether the rules alone hear an effect."""
    return bool(offline_plan(text).capabilities & {OPERATE, "communicate"})


def framed() -> list[Request]:
    """Put every phrase into some of its frames, with context around some."""
    draw = random.Random(SEED)
    wanted, harmless, said = lines("wanted.txt"), lines("harmless.txt"), lines("context.txt")
    made: list[Request] = []

    def add(phrase: str, frames: str, number: int, *, wants: bool) -> None:
        for frame in draw.sample(
            frames.replace("\n-", "\\n-").replace("\n", "|").split("|"), number
        ):
            n, m, other = draw.choice(harmless), draw.choice(harmless), draw.choice(wanted)
            text = frame.replace("\\n", "\n").format(
                v=phrase, V=capital(phrase), n=n, N=capital(n), m=m, v2=other
            )
            made.append(Request(around(text), wants, phrase))

    def around(text: str) -> str:
        chance = draw.random()
        text = f"{draw.choice(said)} {text}" if chance < 0.35 else text
        return f"{text} {draw.choice(said)}" if 0.25 < chance < 0.6 else text

    for phrase in wanted:
        add(phrase, WANTED, 6, wants=True)
        add(phrase, ASKED_ABOUT, 3, wants=False)
    for phrase in harmless:
        add(phrase, HARMLESS, 8, wants=False)
        add(phrase, SIDE_BY_SIDE, 5, wants=False)
    made += [Request(line, False, line) for line in said]
    for line in lines("questions.txt"):
        made += [Request(around(line), False, line), Request(line.lower()[:-1], False, line)]
    for line in lines("other_languages.tsv"):
        label, text = line.split("\t")
        made += [Request(form, label == "e", text) for form in (around(text), text.lower()[:-1])]
    return made


def public(directory: Path) -> list[Request]:
    """Read requests by others that want no effect."""
    sums = (directory / "gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines()
    asked = directory / "taskbench/taskbench/data_huggingface/user_requests.json"
    tasks = asked.read_text(encoding="utf-8").splitlines()
    draw = random.Random(SEED)
    texts = [
        *draw.sample([str(json.loads(line)["question"]) for line in sums], 600),
        *draw.sample([str(json.loads(line)["user_request"]) for line in tasks], 300),
    ]
    return [Request(text, False, text) for text in texts]


def left_out(data: list[Request]) -> np.ndarray:
    """Return the chance of each request from a model that never saw its phrase."""
    phrases = sorted({request.phrase for request in data})
    random.Random(SEED).shuffle(phrases)
    fold = {phrase: number % 5 for number, phrase in enumerate(phrases)}
    chances = np.zeros(len(data))
    for number in range(5):
        model = train([request for request in data if fold[request.phrase] != number])
        for place, request in enumerate(data):
            if fold[request.phrase] == number:
                odds = max(model.log_odds(sentence) for sentence in sentences(request.text))
                chances[place] = 1 / (1 + np.exp(-odds))
    return chances


def train(data: list[Request]) -> EffectsModel:
    """Fit on sentences: of a request that wants an effect, only its most telling one does."""
    cut = [(place, part) for place, one in enumerate(data) for part in sentences(one.text)]
    seen = [sorted(sentence_features(part)) for _, part in cut]
    often = Counter(name for names in seen for name in names)
    column = {name: i for i, name in enumerate(sorted(n for n in often if often[n] > 1))}
    rows = np.array([r for r, names in enumerate(seen) for n in names if n in column])
    columns = np.array([column[n] for names in seen for n in names if n in column])
    owner = np.array([place for place, _ in cut])
    wants = np.array([data[place].wants for place in owner])
    kept = np.ones(len(cut))
    weights, intercept = np.zeros(len(column)), 0.0
    for _ in range(3):
        weights, intercept = fit(rows, columns, wants, kept, len(column))
        odds = intercept + np.bincount(rows, weights[columns], len(cut))
        best = np.full(len(data), -np.inf)
        np.maximum.at(best, owner, odds)
        kept = np.where(wants & (odds < best[owner]), 0.0, 1.0)
    return EffectsModel(intercept, dict(zip(column, weights.tolist(), strict=True)))


def fit(
    rows: np.ndarray, columns: np.ndarray, wants: np.ndarray, kept: np.ndarray, width: int
) -> tuple[np.ndarray, float]:
    """Fit a logistic model with squared coefficients penalised, by gradients with momentum."""
    weights, intercept = np.zeros(width), 0.0
    ahead, ahead_intercept = weights, intercept
    curve = PENALTY + np.bincount(columns, kept[rows] / 4, width) * np.bincount(rows).max()
    curve_intercept = kept.sum() / 4 * np.bincount(rows).max()
    for step in range(1_000):
        odds = ahead_intercept + np.bincount(rows, ahead[columns], len(wants))
        miss = kept * (1 / (1 + np.exp(-odds)) - wants)
        slope = np.bincount(columns, miss[rows], width) + PENALTY * ahead
        new, new_intercept = ahead - slope / curve, ahead_intercept - miss.sum() / curve_intercept
        momentum = step / (step + 3)
        ahead = new + momentum * (new - weights)
        ahead_intercept = new_intercept + momentum * (new_intercept - intercept)
        weights, intercept = new, new_intercept
    return weights, float(intercept)


def capital(text: str) -> str:
    """Return a text as a sentence begins."""
    return text[:1].upper() + text[1:]


def lines(name: str) -> list[str]:
    """Read one of the files of samples."""
    return [line for line in (HERE / name).read_text(encoding="utf-8").splitlines() if line]


if __name__ == "__main__":
    main()
