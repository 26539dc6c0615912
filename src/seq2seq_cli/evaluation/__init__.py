"""Scores of translations, and what can be seen of a model and its training.

- `scoring`: BLEU, chrF and TER by sacreBLEU: figures, intervals, comparisons
- `score_report`: what `seq2seq score` reports of a translation
- `model_info`: parameters and cost of a model
- `attention_maps`: the weights with which a model attends to the source
- `curves`: loss, scores and learning rate in the course of training
- `plots`: figures and self-contained pages
"""
