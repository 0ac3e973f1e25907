// Cuts JSON text that a parser has taken already: what is to be kept as text need not be made into text again. A name
// that is written with escapes is not found. Pure C++; used by the mirror worker.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace dbnet::kubernetes {

// Where a member of an object stands in its text.
struct MemberText {
    size_t begin = 0; // of its name
    size_t value = 0;
    size_t end = 0;
    bool is_first = false;
    bool is_last = false;

    std::string_view value_in(std::string_view object) const { return object.substr(value, end - value); }
};

// The first members called `names`, in one pass that looks at brackets and strings alone; nullopt for what is not
// there.
template<size_t count> using MemberTexts = std::array<std::optional<MemberText>, count>;
void find_members(std::string_view object, std::span<const std::string_view> names,
                  std::span<std::optional<MemberText>> found);
template<size_t count>
MemberTexts<count> find_members(std::string_view object, const std::array<std::string_view, count> &names) {
    MemberTexts<count> found;
    find_members(object, names, found);
    return found;
}
inline std::optional<MemberText> find_member(std::string_view object, std::string_view name) {
    return find_members<1>(object, {name})[0];
}

} // namespace dbnet::kubernetes
