"""Translates with Hugging Face's transformers, to compare an imported run with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.tokenization.language_tags import language_tag, split_languages


def translate_with_original(path: Path, lines: Sequence[str], beam: int) -> list[str | None]:
    """Translate lines by the model and the tokenizer of a folder, which then write no <unk>.

    None stands for a line that the model has too few positions for, or for its translation.
    Raises InputError if transformers is not installed, or refuses the folder.
    """
    try:
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise InputError(
            "the package transformers is not installed; pip install 'seq2seq-cli[bench]' does so"
        ) from None
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        model: Any = AutoModelForSeq2SeqLM.from_pretrained(
            str(path), local_files_only=True, dtype=torch.float32
        ).eval()
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        said = str(error).strip().partition("\n")[0]
        raise InputError(f"{path}: transformers cannot load it: {said}") from None
    texts, how = _read(lines, tokenizer, path)
    how["bad_words_ids"] = [[tokenizer.unk_token_id], [tokenizer.pad_token_id]]
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
    found: list[str | None] = [None] * len(lines)
    positions = _positions(model)
    with torch.inference_mode():
        for length in sorted(each for each in set(lengths) if each <= positions):
            rows = [row for row, each in enumerate(lengths) if each == length]
            batch = tokenizer([texts[row] for row in rows], return_tensors="pt")
            # what a line that never ends is cut off at; the start counts there
            wanted = SearchOptions().max_length(length) + 1
            most = min(wanted, positions)
            tokens = model.generate(
                **batch,
                num_beams=beam,
                do_sample=False,
                max_length=most,
                forced_eos_token_id=tokenizer.eos_token_id,  # as here, if a line does not end
                **how,
            )
            written = tokenizer.batch_decode(tokens, skip_special_tokens=True)
            for row, ids, text in zip(rows, tokens, written, strict=True):
                # generate may force an end upon the last position, where the model has none
                is_cut = most < wanted and _length(ids, tokenizer.pad_token_id) >= most
                found[row] = None if is_cut else text
    return found


def _positions(model: Any) -> int:
    """The most tokens of a source or a target that a model has positions for."""
    most = getattr(model.config, "max_position_embeddings", None)
    return most if isinstance(most, int) and most > 0 else 2**31


def _length(ids: Any, pad: int) -> int:
    """The tokens of a target with its start, which may be <pad> too, without what pads it."""
    written = [place for place, each in enumerate(ids.tolist()) if each != pad]
    return max(written, default=0) + 1


def _read(lines: Sequence[str], tokenizer: Any, path: Path) -> tuple[list[str], dict[str, Any]]:
    """The lines as the tokenizer takes them, and options of `generate` for their languages.

    Tags as <2de> become what the tokenizer has for them; a second one names the line's language.
    """
    read = [split_languages(line) for line in lines]
    into, own = read[0][:2] if read else ("", "")
    if not hasattr(tokenizer, "src_lang"):
        has_our_form = bool(into) and language_tag(into) in tokenizer.get_vocab()  # MADLAD-400
        form = language_tag if has_our_form else ">>{}<<".format
        return [f"{form(tag)} {text}" if tag else text for tag, _, text in read], {}
    require(
        all(each[:2] == (into, own) for each in read),
        f"{path}: lines of one language into one other are compared; give others apart",
    )
    tokenizer.src_lang = own or tokenizer.src_lang
    forced = tokenizer.convert_tokens_to_ids(_token(tokenizer, into))
    return [text for _, _, text in read], {"forced_bos_token_id": forced} if into else {}


def _token(tokenizer: Any, language: str) -> str:
    """The token of a language: `__de__` of M2M-100, the language itself of the others."""
    named = getattr(tokenizer, "lang_code_to_token", {})
    return str(named.get(language, language))
