"""Probes: what simple maps find in the states and the attention of a model.

After Hewitt and Manning 2019, A Structural Probe for Finding Syntax in Word Representations, and
Coenen et al. 2019, Visualizing and Measuring the Geometry of BERT. To read it, begin with
`treebank`.

- `treebank`: dependency trees from CoNLL-U, and the distances in them
- `word_states`: states and attention of a tree's words, from those of pieces
- `structural`: a linear map under which squared distances are distances in the tree
- `attention`: a linear classifier of the relation between two words, from attention weights
- `senses`: whether states tell the senses of a word apart
- `report`: all probes of a run, with what an untrained model and the order of words reach
- `agreement`: how far two runs agree where no tree is known
"""
