// Why a server cannot listen or a file of its TLS cannot be used, in words for an administrator. Pure C++.
#pragma once

#include <stdexcept>
#include <string>

namespace dbnet::gateway {

class HttpError : public std::runtime_error {
public:
    explicit HttpError(const std::string &message, std::string hint = {})
        : std::runtime_error(message), hint_(std::move(hint)) {}

    const std::string &hint() const noexcept { return hint_; } // what to do; empty: nothing to say

private:
    std::string hint_;
};

} // namespace dbnet::gateway
