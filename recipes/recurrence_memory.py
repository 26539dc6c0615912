"""Asks models for the verb at the end of a German clause, and how far back its gradient reaches.

    python recipes/recurrence_memory.py FOLDER --write
    SEQ2SEQ_NATIVE=off python recipes/recurrence_memory.py FOLDER

In "..., weil die Lehrerin den kleinen alten Hund sah." the verb agrees with a subject that stands
before it by any number of words. The English has the past tense, whose verbs show no number. Such
sentences with a subject in the plural are rare in the demo corpus, so --write adds some to its
training text, FOLDER/corpus/agreement.en and .de, in which the subject is 5 or 10 words away.

FOLDER holds a run for each architecture. Writes FOLDER/memory.json: at each distance how often the
right form is likelier than the other one (chance: 0.5), and at the longest how the gradient of the
verb's log-probability with respect to the vectors of the words before it falls with their distance.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from reports import ARCHITECTURES
from torch import Tensor

from seq2seq_cli.demo import english, german
from seq2seq_cli.demo.adjectives import fitting
from seq2seq_cli.demo.draw import Draw
from seq2seq_cli.demo.entries import Noun
from seq2seq_cli.demo.function_words import BECAUSE, THE
from seq2seq_cli.demo.nouns import tagged
from seq2seq_cli.demo.structure import Clause, NounPhrase, Pair, Phrase, Sentence, Subordinate
from seq2seq_cli.demo.verbs import of_kind
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.text import write_lines
from seq2seq_cli.translation import Translator
from seq2seq_cli.translation.likelihood import likelihoods

DISTANCES = (5, 10, 20, 40)  # words from the subject to its verb
SEEN, TRAINING_PAIRS = (5, 10), 4000  # distances in training, and pairs that show them
SENTENCES = 200  # at each distance, half of them with a subject in the plural
FAR = (1, 2, 4, 8, 16, 32, 64)  # bounds of distance in pieces between which gradients are averaged


def sentence(draw: Draw, distance: int, *, plural: bool) -> tuple[str, str, str]:
    """English, German, and German in which the last verb has the other number."""
    verb = draw.one([each for each in of_kind("transitive") if not each.german.particle])
    objects = [noun for noun in tagged(*verb.objects) if noun.countable and two(noun)]
    if not objects:
        return sentence(draw, distance, plural=plural)
    seen: Phrase = described(draw, objects)
    for _ in range(distance // 5 - 1):  # "and", "the", two adjectives and a noun
        seen = Pair(seen, described(draw, objects))
    subject = NounPhrase(draw.one(tagged("person")), "plural" if plural else "singular", THE)
    clause = Clause(verb, subject, tense="past", direct=seen)
    sleeping = NounPhrase(draw.one(tagged("person")), "singular", THE)
    main = Clause(of_kind("intransitive")[0], sleeping, tense="past")
    main.tail = Subordinate(BECAUSE, clause)
    right = german.render(Sentence([main]))
    forms = verb.german.past
    expected, other = forms["third"], forms["plural"]
    if plural:
        expected, other = other, expected
    if expected == other or not right.endswith(f" {expected}."):
        return sentence(draw, distance, plural=plural)
    wrong = f"{right.removesuffix(f'{expected}.')}{other}."
    return english.render(Sentence([main])), right, wrong


def write_training_text(corpus: Path) -> None:
    """Write pairs in which the distance is short, half of them with a subject in the plural."""
    draw = Draw(seed=11)
    made = [
        sentence(draw, SEEN[k // 2 % len(SEEN)], plural=bool(k % 2)) for k in range(TRAINING_PAIRS)
    ]
    write_lines(corpus / "agreement.en", [source for source, _, _ in made])
    write_lines(corpus / "agreement.de", [target for _, target, _ in made])


def two(noun: Noun) -> bool:
    """Whether at least two adjectives go with a noun."""
    return len(fitting(noun)) > 1


def described(draw: Draw, nouns: list[Noun]) -> NounPhrase:
    """The, two adjectives and a noun."""
    noun = draw.one(nouns)
    first = draw.one(fitting(noun))
    second = draw.one([each for each in fitting(noun) if each is not first])
    return NounPhrase(noun, "singular", THE, adjectives=(first, second))


def gradients(run: RunFolder, pairs: list[tuple[str, str, str]]) -> dict[str, list[float]]:
    """Mean norms of the verb's gradient, by distance in pieces, relative to the nearest word."""
    model, tokenizers = run.load_model(), run.load_tokenizers()
    seen: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    for embedding in {model.source_embedding, model.target_embedding}:
        embedding.register_forward_hook(keep)
    sums, counts = torch.zeros(len(FAR)), torch.zeros(len(FAR))
    for source, right, _ in pairs:
        (source_ids,) = tokenizers.source.encode([source])
        target_ids, begun = tokenizers.target.encode([right, right.rpartition(" ")[0]])
        verb = len(begun)  # the first piece of the verb
        seen.clear()
        model.zero_grad()
        hidden = model(torch.tensor([[*source_ids, EOS]]), torch.tensor([[BOS, *target_ids]]))
        scores = model.output(hidden[0, verb]).log_softmax(-1)
        scores[target_ids[verb]].backward()
        read = seen[1].grad
        assert read is not None
        norms = read[0, 1 : verb + 1].norm(dim=-1).flip(0)  # the nearest piece first
        for index, (least, most) in enumerate(zip(FAR, [*FAR[1:], 10**6], strict=True)):
            part = norms[least - 1 : most - 1]
            sums[index] += part.sum()
            counts[index] += len(part)
    reached = int((counts > 0).sum())  # no sentence has pieces farther away
    means = (sums[:reached] / counts[:reached]).tolist()
    return {"distance": list(FAR[:reached]), "share": [each / means[0] for each in means]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="write training text, ask nothing")
    options = parser.parse_args()
    folder: Path = options.folder
    if options.write:
        write_training_text(folder / "corpus")
        return
    draw = Draw(seed=7)
    pairs = {
        distance: [sentence(draw, distance, plural=bool(k % 2)) for k in range(SENTENCES)]
        for distance in DISTANCES
    }
    found: dict[str, Any] = {"examples": {each: pairs[each][0] for each in DISTANCES}}
    for name in ARCHITECTURES:
        translator = Translator.load([folder / name])
        accuracy = {}
        for distance, each in pairs.items():
            sources = [source for source, _, _ in each] * 2
            targets = [right for _, right, _ in each] + [wrong for _, _, wrong in each]
            scores = [s.log_probability for s in likelihoods(translator, sources, targets)]
            decided = zip(scores[: len(each)], scores[len(each) :], strict=True)
            accuracy[distance] = sum(right > wrong for right, wrong in decided) / len(each)
        gradient = gradients(RunFolder(folder / name), pairs[DISTANCES[-1]][:50])
        found[name] = {"agreement": accuracy, "gradient": gradient}
        print(f"{name}: agreement {accuracy}", flush=True)
    (folder / "memory.json").write_text(
        json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
