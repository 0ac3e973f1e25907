// Times of objects: from text, and as tables show how long ago they were.
#pragma once

#include <ctime>
#include <string>

namespace kubesim {

// Seconds since 1970 of an RFC 3339 text in UTC, with a fraction or without; -1: it is none.
time_t seconds_of(const std::string &text);
// As kubectl prints durations: the two largest units while small.
std::string human_duration(long seconds);
// How long ago; "<unknown>" when there is no such time.
std::string age(const std::string &time);

} // namespace kubesim
