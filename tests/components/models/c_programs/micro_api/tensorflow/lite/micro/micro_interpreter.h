// Declares what golden_test.cc and the documentation use of TensorFlow Lite Micro, to compile them
// without its sources.
// MICRO_NAMESPACE is where a release has it: tflite, or tflite::micro.
#pragma once
#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/schema/schema_generated.h"

enum TfLiteStatus { kTfLiteOk, kTfLiteError };

struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
};

struct TfLiteTensor {
  union {
    char* raw;
    int8_t* int8;
  } data;
  TfLiteQuantizationParams params;
  size_t bytes;
};

namespace MICRO_NAMESPACE {

class MicroOpResolver {};

class MicroInterpreter {
 public:
  MicroInterpreter(const tflite::Model* model, const MicroOpResolver& resolver, uint8_t* arena,
                   size_t arena_size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteStatus Reset();
  TfLiteTensor* input(size_t index);
  TfLiteTensor* output(size_t index);
  size_t arena_used_bytes() const;
};

}  // namespace MICRO_NAMESPACE
