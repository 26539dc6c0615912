"""Scores of translations, and what can be seen of a model and its training.

To read it, begin with `scoring`.

- `writing`: how a text is written: script, spaces, lengths
- `words`: words of a line in any script, and how two lines differ in them
- `marked_text`: translations of a line with marks on the words in which they differ
- `comet`: scores of trained models
- `metrics`: sacreBLEU's metrics, built from options
- `references`: references of a translation, of which some lines may be missing
- `advice`: which figures mislead for some texts
- `scoring`: BLEU, chrF and TER of a text, of its lines, and by their length
- `comparison`: whether the difference between two translations can be chance
- `line_groups`: groups of lines, by length and kind of sentence
- `word_accuracy`: how well words are translated, by frequency
- `comparison_results`: what a comparison of systems finds
- `system_comparison`: several translations of one text, compared with one of them
- `comparison_tables`: that comparison as tables, Markdown and LaTeX
- `score_report`: what `seq2seq score` reports of a translation
- `model_info`: parameters and cost of a model
- `attention_maps`: the weights with which a model attends to the source
- `hidden_states`: what every layer of a model computes of sentences and translations
- `conllu`: dependency trees from CoNLL-U files
- `geometry`: words as points, and their neighbours, by layer
- `probes`: what simple maps find in states and attention: trees, relations, senses
- `curves`: loss, scores and learning rate in the course of training
- `plots`: figures and self-contained pages
- `states_file`: hidden states in one file: NPZ, safetensors or parquet
"""
