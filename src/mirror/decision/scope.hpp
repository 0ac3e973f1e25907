// Whether an object belongs to its mirror: a label selector takes objects in and out without anything being created or
// deleted. Pure C++; mirror worker and the SQL functions that explain what it would do.
#pragma once

#include "mirror/decision/intent.hpp"

#include <optional>
#include <string>

namespace dbnet::mirror {

// Recorded as the reason of objects that do not match the mirror's selector: they exist, and no watch tells of them.
inline constexpr const char *left_selector = "LeftSelector";

// `object`: its whole body; null, as of one that is not there: false.
bool has_left_selector(const MirrorSettings &settings, const Json &object);
std::string left_selector_message(const MirrorSettings &settings);

// Why the mirror would not see the object with the labels that the decision gives it; nullopt: it would, or labels are
// not what is decided. `object`: what is there now; nullptr: it is made.
std::optional<ValueError> selector_problem(const Situation &situation, const Decision &decision,
                                           const ObjectRecord *object);

} // namespace dbnet::mirror
