// LabelSelector objects (spec.selector of workloads) and Service selectors: plain matching for controllers and columns.
#pragma once

#include "json.hpp"

#include <string>

namespace kubesim {

// `selector`: a LabelSelector with matchLabels and matchExpressions. An empty one matches everything, null nothing.
bool selects(const json &selector, const json *labels);
// All of `wanted` are among `labels`.
bool has_labels(const json &wanted, const json *labels);
// As the server prints it: app=web,tier in (a,b).
std::string selector_text(const json &selector);
// A label selector's Go value, as messages show it.
std::string selector_go(const json &selector);

} // namespace kubesim
