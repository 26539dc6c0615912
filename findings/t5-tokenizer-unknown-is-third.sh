#!/usr/bin/env bash
# T5Tokenizer takes the third piece of a vocabulary for unknown text, whatever unk_token says.
#
# In transformers 5 the tokenizer of T5 is built around tokenizers' Unigram model, and gives it 2 as the id
# of unknown text: where T5's own vocabularies have <unk>. A vocabulary in another order, such as that of
# MADLAD-400, whose third piece is </s>, is accepted together with unk_token="<unk>"; unk_token_id is then
# that of <unk>, and a character without a piece becomes </s>, in the middle of the sentence.
#
# Seen with transformers 5.23.0 and tokenizers 0.23.3: unk_token_id is 0, and unknown text has id 2.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" transformers==5.23.0 tokenizers==0.23.3
found=$(python - 2>/dev/null <<'END2'
from transformers import T5Tokenizer

pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -3.0), ("▁a", -1.0), ("▁b", -2.0)]
special = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<s>"}
tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, **special)
ids = tokenizer("a ж b").input_ids
print(tokenizer.unk_token_id, *tokenizer.convert_ids_to_tokens(ids))
END2
)
echo "$found"
[ "$found" = "0 ▁a ▁ </s> ▁b </s>" ] || { echo "this has changed" >&2; exit 1; }
