"""ONNX and OpenVINO files of a model. Imports TensorFlow; onnx, tf2onnx and openvino, an extra, only where they are used."""

import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.export.tf2onnx_lib import patch_tf2onnx  # not public: `keras.Model.export` calls it

from pipeline.evaluation.familiarity_fit import make_answering
from pipeline.export.contract import ExportContract
from pipeline.export.graphs import make_constant
from pipeline.models.contract import CONTRACT_FILE, dump_contract
from pipeline.runtime.quiet import silence_stderr

_DEEPEST = 100_000  # nodes that follow each other
_FEWEST = 256  # numbers of a weight that is halved: biases take no room
_LARGEST = float(np.finfo(np.float16).max)


def save_onnx(model: keras.Model, file: Path, contract: ExportContract) -> None:
    """Writes an ONNX file, from `image` to `probabilities` and, where the contract refuses by it, `distance`, any number of
    images; see ExportContract. By tf2onnx, as Keras' own `export` does it, which takes no constants that layers hold; its order
    and names, which depend on memory addresses, are made canonical: the same model gives the same bytes."""
    import onnx
    import tf2onnx

    joint = make_answering(model, contract, file)
    serve = make_constant(joint, None if joint is model else len(contract.class_names))
    with silence_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy's names
        patch_tf2onnx()
        graph, _ = tf2onnx.convert.from_function(serve, serve.input_signature)
    make_canonical(graph)
    onnx.helper.set_model_props(graph, {CONTRACT_FILE: dump_contract(contract)})
    onnx.checker.check_model(graph)
    file.write_bytes(graph.SerializeToString(deterministic=True))


def make_canonical(model: Any) -> None:
    """Changes an onnx.ModelProto with one input, and as outputs probabilities and perhaps distances, (images,): nodes and
    weights come in the order in which a walk back from the outputs meets them, tensors are numbered, and what is only for
    people, or leads to no output, is gone."""
    graph = model.graph
    ends = sorted(graph.output, key=lambda output: -len(output.type.tensor_type.shape.dim))
    copies = [type(end).FromString(end.SerializeToString()) for end in ends]
    del graph.output[:]
    graph.output.extend(copies)
    order, weights = _walk(graph)
    names = {graph.input[0].name: "image"}
    names |= {weight.name: f"weight_{number}" for number, weight in enumerate(weights)}
    for output in (output for node in order for output in node.output):
        names[output] = f"tensor_{len(names)}"
    names |= {output.name: name for output, name in zip(graph.output, ("probabilities", "distance"), strict=False)}
    for node in order:
        node.name = node.doc_string = ""
        node.input[:] = [names.get(name, name) for name in node.input]  # "" is an input that is left out
        node.output[:] = [names[name] for name in node.output]
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    for weight in weights:
        weight.name = names[weight.name]
    for field, kept in ((graph.node, order), (graph.initializer, weights), (graph.value_info, [])):
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in kept]
        del field[:]
        field.extend(copies)
    for end in (graph.input[0], *graph.output):
        end.name = names[end.name]
        end.type.tensor_type.shape.dim[0].dim_param = "images"
    graph.name, graph.doc_string, model.doc_string = "model", "", ""


def _walk(graph: Any) -> tuple[list[Any], list[Any]]:
    """(nodes, each after those that it takes from; weights), as a walk back from the outputs meets them."""
    made = {output: node for node in graph.node for output in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    seen: dict[str, None] = {}
    order: list[Any] = []

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.update(dict.fromkeys(made[name].output if name in made else [name]))
        if name in made:
            for source in made[name].input:
                visit(source)
            order.append(made[name])

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_DEEPEST)
    try:
        for output in graph.output:
            visit(output.name)
    finally:
        sys.setrecursionlimit(limit)
    return order, [weights[name] for name in seen if name in weights]


def save_half_onnx(onnx_file: Path, file: Path) -> None:
    """Writes an ONNX file that `save_onnx` wrote with weights in half the bytes: float16, which the runtime makes float32
    when it loads them. It computes in float32 as before. Small weights, and those beyond float16, stay as they are."""
    import onnx

    model = onnx.load(str(onnx_file))
    graph, casts, weights = model.graph, [], []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= _FEWEST and np.abs(values).max() <= _LARGEST:
            half = f"{weight.name}_half"
            casts.append(onnx.helper.make_node("Cast", [half], [weight.name], to=onnx.TensorProto.FLOAT))
            weights.append(onnx.numpy_helper.from_array(values.astype(np.float16), half))
        else:
            weights.append(weight)
    nodes = [*casts, *graph.node]
    for field, kept in ((graph.node, nodes), (graph.initializer, weights)):
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in kept]
        del field[:]
        field.extend(copies)
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString(deterministic=True))


def save_openvino(onnx_file: Path, file: Path, contract: ExportContract) -> None:
    """Writes OpenVINO's .xml, and .bin beside it, of an ONNX file; contract.json is in its rt_info. By the reader in OpenVINO's
    own library: its converter in Python would report uses to its makers."""
    import openvino

    with silence_stderr():
        model = openvino.Core().read_model(str(onnx_file))
        model.set_rt_info(dump_contract(contract), [CONTRACT_FILE.replace(".", "_")])
        openvino.save_model(model, str(file), compress_to_fp16=False)
