// Groups of rules' panes in one batch, by number. Pure C++.
#pragma once

#include "telemetry/batch.hpp"

#include <cstring>
#include <memory>
#include <unordered_map>

namespace dbnet::telemetry {

class Groupings {
public:
    // Number, from 1, of the group with this jsonb (all of its bytes).
    uint32_t number_of(std::string_view jsonb) {
        const auto [found, is_new] = numbers_.try_emplace(std::string(jsonb), static_cast<uint32_t>(all_.size() + 1));
        if (is_new) {
            all_.push_back(std::make_unique<char[]>(jsonb.size())); // aligned as new char[] is: to 16 bytes
            std::memcpy(all_.back().get(), jsonb.data(), jsonb.size());
        }
        return found->second;
    }
    // nullptr: of number 0, {}.
    Jsonb jsonb(uint32_t number) const noexcept { return number == 0 ? nullptr : all_[number - 1].get(); }

private:
    std::vector<std::unique_ptr<char[]>> all_;
    std::unordered_map<std::string, uint32_t> numbers_;
};

} // namespace dbnet::telemetry
