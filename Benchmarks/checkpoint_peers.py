"""One of the contenders that run checkpoints of Hugging Face, as a process of its own (protocol.py)."""

import argparse
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from protocol import Worker
from runtimes import Arrays, Run, arguments, onnxruntime_session, openvino_compiled, serve, set_torch_threads

from rows import LINE_TOKENS as NEW_TOKENS


class Peer(Protocol):
    """A runtime with a checkpoint's encoder and pictures."""

    def load_decoder(self) -> None: ...

    def encode(self) -> Any: ...

    def begin(self) -> None:
        """After `encode`: what is computed once for a picture, and no tokens yet."""

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """One more token for each text, [texts, 1]."""

    def generate(self, start: np.ndarray) -> np.ndarray: ...

    def array(self, value: Any) -> np.ndarray:
        """What `encode` gives, in float32."""


class Exported:
    """What ONNX Runtime and OpenVINO do alike with what checkpoints.py exports."""

    def generate(self, start: np.ndarray) -> np.ndarray:
        self.encode()
        self.begin()
        tokens = [start]
        for _ in range(NEW_TOKENS):
            tokens.append(self.step(tokens[-1]))
        return np.concatenate(tokens[1:], axis=1)

    def array(self, value: Any) -> np.ndarray:
        return np.array(value)


def most_likely(logits: np.ndarray) -> np.ndarray:
    return logits.argmax(-1, keepdims=True)


class OnnxRuntime(Exported):
    """Everything stays where it was computed: keys and values go from a step's outputs to the next one's inputs."""

    def __init__(self, onnx: Path, precision: str, inputs: Arrays, threads: int) -> None:
        import onnxruntime as ort

        self._placed = ort.OrtValue.ortvalue_from_numpy
        self._session = lambda part: onnxruntime_session(onnx / f"{part}.onnx", precision, threads)
        self._encoder = self._session("encoder")
        self._encoding = self._encoder.io_binding()
        self._encoding.bind_cpu_input("img", inputs["img"])
        self._kept = self._placed(self._encoder.run(None, {"img": inputs["img"]})[0])
        self._encoding.bind_ortvalue_output("hidden", self._kept)
        self._hidden = self._kept.numpy()

    def load_decoder(self) -> None:
        batch = len(self._hidden)
        self._cross, self._decoder = self._session("cross"), self._session("decoder")
        self._crossing, self._decoding = self._cross.io_binding(), self._decoder.io_binding()
        self._crossing.bind_ortvalue_input("hidden", self._kept)
        for output, value in zip(self._cross.get_outputs(), self._cross.run(None, {"hidden": self._hidden})):
            kept = self._placed(value)
            self._crossing.bind_ortvalue_output(output.name, kept)
            self._decoding.bind_ortvalue_input(output.name, kept)
        self._past = [entry for entry in self._decoder.get_inputs() if entry.name.startswith("past.")]
        self._none = [self._placed(np.empty((batch, e.shape[1], 0, e.shape[3]), np.float32)) for e in self._past]
        self._tokens = np.empty((batch, 1), np.int64)
        self._decoding.bind_cpu_input("tokens", self._tokens)
        logits = self._placed(np.empty((batch, self._decoder.get_outputs()[0].shape[1]), np.float32))
        self._logits = logits.numpy()
        self._decoding.bind_ortvalue_output("logits", logits)

    def encode(self) -> np.ndarray:
        self._encoder.run_with_iobinding(self._encoding)
        return self._hidden

    def begin(self) -> None:
        self._cross.run_with_iobinding(self._crossing)
        self._keep(self._none)

    def _keep(self, values: list) -> None:
        for entry, value in zip(self._past, values):
            self._decoding.bind_ortvalue_input(entry.name, value)
            self._decoding.bind_output(entry.name.replace("past.", "present."))

    def step(self, tokens: np.ndarray) -> np.ndarray:
        self._tokens[:] = tokens
        self._decoder.run_with_iobinding(self._decoding)
        self._keep(self._decoding.get_outputs()[1:])
        return most_likely(self._logits)


class OpenVino(Exported):
    """Shapes are fixed except for the length of the past, and keys and values are the model's state."""

    def __init__(self, onnx: Path, suffix: str, precision: str, inputs: Arrays, threads: int) -> None:
        import openvino as ov

        self._read = lambda part, suffix=suffix: ov.Core().read_model(onnx / f"{part}.{suffix}")
        self._request = lambda model: openvino_compiled(model, precision, threads).create_infer_request()
        encoder = self._read("encoder", "xml")
        encoder.reshape(list(inputs["img"].shape))
        self._encoder = self._request(encoder)
        self._encoder.set_input_tensor(ov.Tensor(inputs["img"], shared_memory=True))
        self._hidden = self._encoder.get_output_tensor(0).data

    def load_decoder(self) -> None:
        import openvino as ov
        from openvino._offline_transformations import apply_make_stateful_transformation

        batch, positions, _ = shape = list(self._hidden.shape)
        cross, decoder = self._read("cross"), self._read("decoder")
        cross.reshape({"hidden": shape})
        self._cross = self._request(cross)
        self._cross.set_tensor("hidden", self._encoder.get_output_tensor(0))

        shapes = {"tokens": [batch, 1]}
        for entry in decoder.inputs[1:]:
            length = -1 if entry.any_name.startswith("past.") else positions
            shapes[entry.any_name] = [batch, entry.partial_shape[1], length, entry.partial_shape[3]]
        decoder.reshape({name: ov.PartialShape(shape) for name, shape in shapes.items()})
        past = [name for name in shapes if name.startswith("past.")]
        apply_make_stateful_transformation(decoder, {name: name.replace("past.", "present.") for name in past})
        self._decoder = self._request(decoder)
        for index, output in enumerate(cross.outputs):
            self._decoder.set_tensor(output.any_name, self._cross.get_output_tensor(index))
        self._tokens = np.empty((batch, 1), np.int64)
        self._decoder.set_tensor("tokens", ov.Tensor(self._tokens, shared_memory=True))

    @staticmethod
    def _run(request: Any) -> None:
        request.start_async()
        request.wait()

    def encode(self) -> np.ndarray:
        self._run(self._encoder)
        return self._hidden

    def begin(self) -> None:
        self._run(self._cross)
        self._decoder.reset_state()

    def step(self, tokens: np.ndarray) -> np.ndarray:
        self._tokens[:] = tokens
        self._run(self._decoder)
        return most_likely(self._decoder.get_output_tensor(0).data)


class Transformers:
    """As its users run it, in PyTorch."""

    def __init__(self, folder: Path, precision: str, inputs: Arrays, threads: int) -> None:
        set_torch_threads(threads)
        import torch

        from checkpoints import greedy, load

        self._torch = torch
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
        self._model = load(folder).to(dtype)
        self._model.generation_config = greedy(self._model)
        self._img = torch.from_numpy(inputs["img"]).to(dtype)

    def load_decoder(self) -> None:
        """The model came as a whole."""

    def encode(self) -> Any:
        with self._torch.inference_mode():
            self._hidden = self._model.encoder(self._img).last_hidden_state
        return self._hidden

    def begin(self) -> None:
        self._cache = None

    def step(self, tokens: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            out = self._model.decoder(
                self._torch.from_numpy(tokens), encoder_hidden_states=self._hidden, past_key_values=self._cache,
                use_cache=True)
            self._cache = out.past_key_values
            return out.logits[:, -1].argmax(-1, keepdim=True).numpy()

    def generate(self, start: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            return self._model.generate(self._img)[:, start.shape[1] :].numpy()

    def array(self, value: Any) -> np.ndarray:
        return value.float().numpy()


class Decoding:
    """One token after the other; after so many of them the text begins anew, which is not timed."""

    def __init__(self, peer: Peer, start: np.ndarray) -> None:
        self._peer, self._start = peer, start
        self._steps = NEW_TOKENS

    def prepare(self) -> None:
        if self._steps == NEW_TOKENS:
            self._peer.encode()
            self._peer.begin()
            self._tokens = self._peer.step(self._start)
            self._steps = 0

    def run(self) -> np.ndarray:
        self._tokens = self._peer.step(self._tokens)
        self._steps += 1
        return self._tokens


def peer_of(options: argparse.Namespace, inputs: Arrays) -> Peer:
    kept = options.onnx / (f"{options.peer}-int8" if options.precision == "int8" else "float32")
    given = options.precision, inputs, options.threads
    if options.peer == "onnxruntime":
        return OnnxRuntime(kept, *given)
    if options.peer == "openvino":
        return OpenVino(kept, "xml" if options.precision == "int8" else "onnx", *given)
    return Transformers(options.model, *given)


def prepare(options: argparse.Namespace, inputs: Arrays) -> tuple[Run, Arrays, *tuple[Run, ...]]:
    peer = peer_of(options, inputs)
    if options.work == "encode":
        return peer.encode, {"embeddings": peer.array(peer.encode())}
    peer.load_decoder()
    if options.work == "generate":
        return lambda: peer.generate(inputs["text"]), {"tokens": peer.generate(inputs["text"])}
    decoding = Decoding(peer, inputs["text"])
    decoding.prepare()
    return decoding.run, {"tokens": decoding.run()[:, 0]}, decoding.prepare


def main() -> None:
    options = arguments(
        __doc__, ["transformers", "onnxruntime", "openvino"], ["encode", "generate", "decode"])
    worker = Worker()
    serve(worker, options, lambda inputs: prepare(options, inputs))


if __name__ == "__main__":
    main()
