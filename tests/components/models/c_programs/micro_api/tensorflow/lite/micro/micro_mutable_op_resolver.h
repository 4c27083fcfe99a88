#pragma once
#include "tensorflow/lite/micro/micro_interpreter.h"

namespace MICRO_NAMESPACE {

template <unsigned int kOperators>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd();
  TfLiteStatus AddConv2D();
  TfLiteStatus AddDepthwiseConv2D();
  TfLiteStatus AddFullyConnected();
  TfLiteStatus AddHardSwish();
  TfLiteStatus AddMaxPool2D();
  TfLiteStatus AddReshape();
  TfLiteStatus AddSoftmax();
};

}  // namespace MICRO_NAMESPACE
