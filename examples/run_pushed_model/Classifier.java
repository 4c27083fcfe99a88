import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/**
 * A pushed classifier with one input and one output, int8 or float32, on Android.
 *
 * <p>The file is {@code model.tflite} of a version, as it was pushed. Close the classifier when it
 * is not needed any more; it is for one thread at a time.
 */
public final class Classifier implements AutoCloseable {
  private final Interpreter interpreter;
  private final Tensor input;
  private final Tensor output;

  public Classifier(File model) {
    Interpreter.Options options = new Interpreter.Options();
    options.setNumThreads(2);
    interpreter = new Interpreter(model, options);
    interpreter.allocateTensors();
    input = interpreter.getInputTensor(0);
    output = interpreter.getOutputTensor(0);
  }

  /** Returns the class that the model chooses for the real values of one example. */
  public int classify(float[] values) {
    ByteBuffer given = buffer(input);
    for (float value : values) {
      if (input.dataType() == DataType.FLOAT32) {
        given.putFloat(value);
      } else {
        given.put(quantized(value));
      }
    }
    given.rewind();
    ByteBuffer scores = buffer(output);
    interpreter.run(given, scores);
    scores.rewind();
    return largest(scores);
  }

  @Override
  public void close() {
    interpreter.close();
  }

  /** Returns a real value as the model takes it: real = scale x (integer - zero point). */
  private byte quantized(float value) {
    Tensor.QuantizationParams told = input.quantizationParams();
    long integer = Math.round(value / told.getScale()) + told.getZeroPoint();
    return (byte) Math.max(Byte.MIN_VALUE, Math.min(Byte.MAX_VALUE, integer));
  }

  /** Returns the place of the largest score; the scale is positive, so integers do as well. */
  private int largest(ByteBuffer scores) {
    boolean isFloat = output.dataType() == DataType.FLOAT32;
    int best = 0;
    float most = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < output.numElements(); i++) {
      float score = isFloat ? scores.getFloat() : scores.get();
      if (score > most) {
        most = score;
        best = i;
      }
    }
    return best;
  }

  private static ByteBuffer buffer(Tensor tensor) {
    return ByteBuffer.allocateDirect(tensor.numBytes()).order(ByteOrder.nativeOrder());
  }
}
