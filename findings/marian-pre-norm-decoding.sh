#!/usr/bin/env bash
# A pre-norm Transformer is decoded with other numbers than it is trained and scored with.
#
# `decode` gives each translation its log-probability, and `score` of the same pair should find the same.
# For post-norm models it does. With `--transformer-preprocess n`, from the second token on, `decode`
# normalises only the last token before the decoder's self-attention takes keys and values, and takes
# those of the tokens before it as they are; so it writes other translations than the model's best.
# `--transformer-train-position-embeddings` is accepted, and the model has no such embeddings.
#
# Seen with pymarian 1.12.42 (600 MB, for Python 3.11: `PYTHON=python3.11 bash ...`) and models that have
# learned to copy for a few seconds. Each line has the greatest difference of log-probabilities over eight
# sentences; then the number of parameters for positions.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" pymarian==1.12.42 numpy
cat >"$folder/run.py" <<'END'
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
draw = random.Random(1)
text = "".join(" ".join(draw.choices("abcdefgh", k=6)) + "\n" for _ in range(400))
(folder / "text").write_text(text)
(folder / "test").write_text("\n".join(text.split("\n")[:8]) + "\n")
pieces = ["</s>", "<unk>", *"abcdefgh"]
(folder / "vocab.yml").write_text("".join(f"{piece}: {i}\n" for i, piece in enumerate(pieces)))


def marian(command, model, *options):
    common = ["-m", model, "-v", "vocab.yml", "vocab.yml", "--cpu-threads", "1", "--quiet", *options]
    subprocess.run([sys.executable, "-m", "pymarian", command, *common], cwd=folder, check=True)


def train(model, *options):
    sizes = ["--dim-emb", "16", "--transformer-dim-ffn", "32", "--transformer-heads", "2"]
    sizes += ["--enc-depth", "1", "--dec-depth", "2", "--mini-batch", "16", "--after", "60u"]
    files = ["-t", "text", "text", "-w", "100", "--seed", "1", "--learn-rate", "0.01"]
    marian("train", model, "--type", "transformer", *sizes, *files, *options)


def greatest_difference(model):
    marian("decode", model, "-i", "test", "-o", "found", "-b", "1", "--n-best")
    rows = [line.split(" ||| ") for line in (folder / "found").read_text().splitlines()]
    (folder / "translated").write_text("".join(row[1].strip() + "\n" for row in rows))
    marian("score", model, "-t", "test", "translated", "-o", "scores")
    scores = [float(line) for line in (folder / "scores").read_text().split()]
    return max(abs(float(row[-1]) - score) for row, score in zip(rows, scores, strict=True))


train("post.npz")
train("pre.npz", *"--transformer-preprocess n --transformer-postprocess da".split(),
      "--transformer-postprocess-top", "n")  # fmt: skip
train("learned.npz", "--transformer-train-position-embeddings")
post, pre = greatest_difference("post.npz"), greatest_difference("pre.npz")
print(f"post-norm {post:.4f}")
print(f"pre-norm {pre:.4f}")
print(sum("pos" in name.lower() for name in np.load(folder / "learned.npz").files))
assert post < 0.001 < 0.1 < pre
END
found=$(python "$folder/run.py" "$folder" | tail -3)
echo "$found"
[ "$(echo "$found" | head -1)" = "post-norm 0.0000" ] && [ "$(echo "$found" | tail -1)" = 0 ] ||
    { echo "this has changed" >&2; exit 1; }
