// Runs a pushed classifier with one int8 or float32 input and output on samples, one by one:
//
//     ./run model.tflite golden/input_0.bin
//
// and prints the class that it chooses for each. It uses TensorFlow Lite's C interface, which is
// the same on Linux, Android and iOS, and which C++ and C programs call alike.

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "tensorflow/lite/c/c_api.h"

template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

// Reads the values of a tensor as real numbers: real = scale x (integer - zero point).
std::vector<float> RealValues(const TfLiteTensor* tensor) {
  std::vector<float> real;
  if (TfLiteTensorType(tensor) == kTfLiteFloat32) {
    real.resize(TfLiteTensorByteSize(tensor) / sizeof(float));
    TfLiteTensorCopyToBuffer(tensor, real.data(), TfLiteTensorByteSize(tensor));
    return real;
  }
  std::vector<int8_t> integers(TfLiteTensorByteSize(tensor));
  TfLiteTensorCopyToBuffer(tensor, integers.data(), integers.size());
  const TfLiteQuantizationParams told = TfLiteTensorQuantizationParams(tensor);
  for (const int8_t integer : integers) {
    real.push_back(told.scale * static_cast<float>(integer - told.zero_point));
  }
  return real;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s MODEL SAMPLES\n", argv[0]);
    return 2;
  }
  const Owned<TfLiteModel> model(TfLiteModelCreateFromFile(argv[1]), TfLiteModelDelete);
  if (!model) {
    std::fprintf(stderr, "%s is not a TensorFlow Lite model\n", argv[1]);
    return 1;
  }
  const Owned<TfLiteInterpreterOptions> options(TfLiteInterpreterOptionsCreate(),
                                                TfLiteInterpreterOptionsDelete);
  TfLiteInterpreterOptionsSetNumThreads(options.get(), 1);
  const Owned<TfLiteInterpreter> interpreter(
      TfLiteInterpreterCreate(model.get(), options.get()), TfLiteInterpreterDelete);
  // An axis of any size, such as a dynamic batch, has size 1 unless it is resized.
  if (!interpreter || TfLiteInterpreterAllocateTensors(interpreter.get()) != kTfLiteOk) {
    std::fprintf(stderr, "the runtime does not take %s\n", argv[1]);
    return 1;
  }
  TfLiteTensor* input = TfLiteInterpreterGetInputTensor(interpreter.get(), 0);
  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<char> samples{std::istreambuf_iterator<char>(file), {}};
  const size_t size = TfLiteTensorByteSize(input);
  for (size_t start = 0; start + size <= samples.size(); start += size) {
    TfLiteTensorCopyFromBuffer(input, samples.data() + start, size);
    if (TfLiteInterpreterInvoke(interpreter.get()) != kTfLiteOk) return 1;
    const std::vector<float> scores =
        RealValues(TfLiteInterpreterGetOutputTensor(interpreter.get(), 0));
    size_t best = 0;
    for (size_t i = 1; i < scores.size(); ++i) {
      if (scores[i] > scores[best]) best = i;
    }
    std::printf("%zu\n", best);
  }
  return 0;
}
