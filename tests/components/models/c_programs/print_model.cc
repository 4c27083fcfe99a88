// Prints the bytes of dense_model; the exit code is 1 if they are not aligned to 16.
#include <stdint.h>
#include <stdio.h>

#include "model.h"

int main(void) {
  fwrite(dense_model, 1, dense_model_size, stdout);
  return (uintptr_t)dense_model % 16 == 0 ? 0 : 1;
}
