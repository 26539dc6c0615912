"""Text to token ids and back.

To read it, begin with `tokenizer`.

- `language_tags`: tags such as <2de>, which choose the language to translate into
- `protobuf`: the few fields of SentencePiece's model files that are read and written
- `text_form`: what becomes of the text of a side: normalisation, case
- `subwords`: random segmentations of words
- `sentences`: lines into sentences, and sentences into a line
- `tokenizer`: lines to ids and back, with a SentencePiece model
- `foreign_vocabulary`: vocabularies of other engines' models, in our order
- `exported_vocabulary`: our vocabularies in the order of other engines
- `sentence_form`: EOS and tags around the tokens of a sentence, as a model reads it
- `extension`: new pieces and languages in a vocabulary
- `learning`: SentencePiece training and the choice of a vocabulary size
"""
