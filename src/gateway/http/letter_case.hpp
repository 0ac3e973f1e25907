// Letters of protocols, which are ASCII whatever the locale. Pure C++.
#pragma once

namespace dbnet::gateway {

constexpr char lower_case(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

} // namespace dbnet::gateway
