// Similar names by edit distance; see the header. Runs in backends and in the mirror worker.
#include "kubernetes/object/nearest.hpp"

#include <algorithm>
#include <utility>

namespace dbnet::kubernetes {
namespace {

constexpr size_t longest = 64; // characters compared

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Insertions, deletions and replacements that turn one into the other, upper and lower case alike.
size_t distance(std::string_view left, std::string_view right) {
    left = left.substr(0, longest);
    right = right.substr(0, longest);
    size_t row[longest + 1];
    for (size_t j = 0; j <= right.size(); ++j)
        row[j] = j;
    for (size_t i = 1; i <= left.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= right.size(); ++j) {
            const size_t replaced = diagonal + (lower(left[i - 1]) == lower(right[j - 1]) ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[right.size()];
}

} // namespace

std::vector<std::string> nearest(std::string_view wanted, const std::vector<std::string> &names, size_t count) {
    std::vector<std::pair<size_t, const std::string *>> ranked;
    ranked.reserve(names.size());
    for (const std::string &name : names)
        ranked.emplace_back(distance(wanted, name), &name);
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const auto &left, const auto &right) { return left.first < right.first; });
    std::vector<std::string> best;
    for (size_t i = 0; i < ranked.size() && i < count; ++i)
        best.push_back(*ranked[i].second);
    return best;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
