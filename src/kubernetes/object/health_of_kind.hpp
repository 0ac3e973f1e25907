// How objects of the built-in kinds are doing, by what their status says: the rules of kubectl and cli-utils (kstatus).
// What holds for every kind is in health.hpp. Used by the mirror worker.
#pragma once

#include "kubernetes/object/health.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace dbnet::kubernetes {

struct KindHealth {
    Health (*judge)(const nlohmann::json &object) = nullptr;
    bool observes_generation = false; // without status.observedGeneration its controller has not looked at it yet
};

// The rule of the kind; nullptr: it has none, and its condition Ready is all there is.
const KindHealth *health_of_kind(std::string_view group, std::string_view kind);

// The condition of that type in status.conditions, or nullptr.
const nlohmann::json *find_condition(const nlohmann::json *status, std::string_view type);

// "KubeletNotReady: runtime network not ready", or what of it the condition has.
std::string words_of_condition(const nlohmann::json *condition, std::string_view otherwise);

} // namespace dbnet::kubernetes
