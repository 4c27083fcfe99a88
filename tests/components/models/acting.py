"""Functions of one tensor that do more than compute, for SavedModels that are to be refused."""

import tensorflow as tf

raw = tf.raw_ops


def _after(operation: tf.Operation, x: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([operation]):
        return tf.identity(x)


def read_environment(x):
    return tf.io.read_file("/proc/self/environ")


def read_in_a_branch(x):
    return tf.cond(x[0] > 0, lambda: tf.io.read_file("/etc/passwd"), lambda: "")


def read_in_a_loop(x):
    step = lambda count, text: (count + 1, text + tf.io.read_file("/etc/passwd"))  # noqa: E731
    return tf.while_loop(lambda count, text: count < 2, step, (0, ""))[1]


def write_file(x):
    return _after(tf.io.write_file("/tmp/x", "y"), x)


def list_files(x):
    return tf.io.matching_files("/home/*")


def python(x):
    return tf.py_function(lambda y: y, [x], tf.float32)


def numpy(x):
    return tf.numpy_function(lambda y: y, [x], tf.float32)


def stateless_numpy(x):
    return tf.numpy_function(lambda y: y, [x], tf.float32, stateful=False)


def print_to_a_file(x):
    return _after(tf.print(x, output_stream="file:///tmp/x"), x)


def lines_of_a_file(x):
    return tf.data.TextLineDataset("/etc/passwd").reduce("", lambda all_, line: all_ + line)


def records_of_a_file(x):
    return tf.data.TFRecordDataset("/x").reduce("", lambda all_, record: all_ + record)


def cache_in_a_file(x):
    numbers = tf.data.Dataset.range(3).cache("/tmp/x")
    return numbers.reduce(tf.constant(0, tf.int64), lambda total, number: total + number)


def save_variables(x):
    saved = raw.SaveV2(prefix="/x", tensor_names=["x"], shape_and_slices=[""], tensors=[x])
    return _after(saved, x)


def restore_variables(x):
    return raw.RestoreV2(
        prefix="/x", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0]


def merge_checkpoints(x):
    merged = raw.MergeV2Checkpoints(checkpoint_prefixes=["/x"], destination_prefix="/y")
    return _after(merged, x)


def map_a_file(x):
    return raw.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name="/etc/passwd")


def descriptors_in_a_file(x):
    return raw.DecodeProtoV2(
        bytes=[""],
        message_type="a.B",
        field_names=["c"],
        output_types=[tf.int64],
        descriptor_source="/etc/passwd",
    ).sizes


def debug_to_a_file(x):
    return raw.DebugIdentityV2(input=x, debug_urls=["file:///tmp/x"])


def read_whole_files(x):
    return raw.WholeFileReaderV2()


def records_of_many_files(x):
    return raw.RecordInput(file_pattern="/etc/*")


def summaries(x):
    writer = raw.SummaryWriter()
    created = raw.CreateSummaryFileWriter(
        writer=writer, logdir="/x", max_queue=1, flush_millis=1, filename_suffix=""
    )
    return _after(created, x)


# --- What only computes, though it looks like more ---


def print_to_the_terminal(x):
    return _after(tf.print(x), x)


def well_known_protos(x):
    return raw.DecodeProtoV2(
        bytes=[""],
        message_type="tensorflow.Example",
        field_names=[],
        output_types=[],
        descriptor_source="local://",
    ).sizes


def match_a_pattern(x):
    return tf.strings.regex_replace("a/b", "/", "file://")


def numbers_of_a_data_set(x):
    numbers = tf.data.Dataset.range(3).map(lambda number: number + 1).batch(2).unbatch()
    return numbers.reduce(tf.constant(0, tf.int64), lambda total, number: total + number)
