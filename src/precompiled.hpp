// What most files include and what is dear to read, compiled once per kind of build (see Makefile) and read first by
// every file. It saves time and nothing else: each file includes what it uses and compiles without this one. Never
// PostgreSQL's headers: pure files read it, too.
#ifndef DBNET_PRECOMPILED_HPP
#define DBNET_PRECOMPILED_HPP

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#endif
