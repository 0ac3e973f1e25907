// How an object is doing, by the rules that kubectl and cli-utils (kstatus) use: first generations and conditions that
// every kind may have, then what those of its kind say (health_of_kind.hpp). Used by the mirror worker.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace dbnet::kubernetes {

struct Health {
    enum class Status { current, in_progress, failed, terminating };
    Status status = Status::current;
    std::string message; // why it is not current, in the object's own words where it has any
};

const char *name(Health::Status status) noexcept; // "in_progress", as in the enum

Health health_of(const nlohmann::json &object);

} // namespace dbnet::kubernetes
