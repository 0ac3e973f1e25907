// What the numbers of a field count, where Kubernetes says so by names alone. Pure C++; backends.
#pragma once

#include "kubernetes/object/path.hpp"

namespace dbnet::mirror {

// "seconds", "cores", "bytes", "percent"; empty when the path does not tell.
std::string unit_of(const kubernetes::FieldPath &path);

} // namespace dbnet::mirror
