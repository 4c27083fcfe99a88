#pragma once
namespace MICRO_NAMESPACE {
void InitializeTarget();
}
