// Prints the golden samples of dense: the inputs of all runs, then the outputs.
#include <stdio.h>

#include "golden.h"

static void print(const dense_golden_tensor* tensor) {
  printf("%s %u %u\n", tensor->name, tensor->place, tensor->run_bytes);
  fwrite(tensor->values, 1, tensor->run_bytes * dense_golden_runs, stdout);
}

int main(void) {
  for (int place = 0; place < dense_golden_input_count; ++place) print(&dense_golden_inputs[place]);
  for (int place = 0; place < dense_golden_output_count; ++place) print(&dense_golden_outputs[place]);
  return 0;
}
