// What every part of the Kubernetes client throws when it refuses its input: one exception type with the words a user
// needs. Used by the mirror worker and by backends; callers turn it into an SQL error.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace dbnet::kubernetes {

class Failure : public std::runtime_error {
public:
    explicit Failure(const std::string &message, std::string hint = {})
        : std::runtime_error(message), hint_(std::move(hint)) {}

    // What the user can do about it; empty when the message says all there is.
    const std::string &hint() const noexcept { return hint_; }

private:
    std::string hint_;
};

} // namespace dbnet::kubernetes
