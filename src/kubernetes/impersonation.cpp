// Headers of impersonation; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/impersonation.hpp"

#include "kubernetes/api.hpp"
#include "kubernetes/failure.hpp"

#include <algorithm>

namespace dbnet::kubernetes {
namespace {

bool is_control(unsigned char byte) {
    return byte < ' ' || byte == 127;
}

// What a header says must be what was meant: its value loses space at the ends.
void check_text(const std::string &text, const char *what) {
    const std::string subject = std::string("the ") + what + " to act as ";
    if (text.empty())
        throw Failure(subject + "is empty");
    if (std::ranges::any_of(text, is_control))
        throw Failure(subject + "holds a line break or another control character");
    if (text.front() == ' ' || text.back() == ' ')
        throw Failure(subject + "begins or ends with a space: \"" + text + '"');
}

} // namespace

void validate(const Impersonation &impersonation) {
    if (impersonation.is_nobody())
        return;
    if (impersonation.user.empty())
        throw Failure("a uid, groups or extra values to act as are given without a user",
                      "API servers take them together with a user only: say which one.");
    check_text(impersonation.user, "user");
    if (!impersonation.uid.empty())
        check_text(impersonation.uid, "uid");
    for (const std::string &group : impersonation.groups)
        check_text(group, "group");
    for (const auto &[key, values] : impersonation.extra) {
        if (key.empty())
            throw Failure("a key of the extra values to act as is empty");
        for (const std::string &value : values)
            check_text(value, "extra value");
    }
}

std::vector<std::string> impersonation_headers(const Impersonation &impersonation) {
    std::vector<std::string> lines;
    if (impersonation.user.empty())
        return lines;
    lines.push_back("Impersonate-User: " + impersonation.user);
    if (!impersonation.uid.empty())
        lines.push_back("Impersonate-Uid: " + impersonation.uid);
    for (const std::string &group : impersonation.groups)
        lines.push_back("Impersonate-Group: " + group);
    for (const auto &[key, values] : impersonation.extra)
        for (const std::string &value : values)
            lines.push_back("Impersonate-Extra-" + header_key(key) + ": " + value);
    return lines;
}

// Kept is what tchar of RFC 9110 has beside what is unreserved in URLs, but for '%'.
std::string header_key(std::string_view key) {
    return percent_encode(key, "!#$&'*+^`|");
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
