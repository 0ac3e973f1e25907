// Command line of the simulator and the proxy.
#pragma once

#include <string>
#include <vector>

namespace kubesim {

struct Options {
    std::string listen = "127.0.0.1";
    int port = 0;
    std::string port_file;
    std::string kubeconfig_file;
    std::string certificates;
    std::string data;
    std::string request_log;
    std::string store_file;
    std::string proxy_url;
    std::string upstream_kubeconfig;
    std::string upstream_authority; // files
    std::string upstream_certificate;
    std::string upstream_key;
    std::string upstream_token;
    std::vector<std::string> tokens;
    std::vector<std::string> read_only_tokens;
    double service_time_ms = 0;
    int changes_at_a_time = 0;
    int node_ready_delay_ms = 50;
    int namespace_delete_delay_ms = 20;
    int pod_start_delay_ms = 50;
    int pod_stop_delay_ms = 20;
    int definition_delay_ms = 20;
    int bookmark_interval_ms = 60000;
    int future_wait_ms = 3000;
    size_t history = 100000;
    bool watch_list = false;
    bool no_controllers = false;
    bool die_with_parent = false;

    bool is_proxy() const { return !proxy_url.empty() || !upstream_kubeconfig.empty(); }
};

// Prints help or the mistake and exits when there is nothing to run.
Options parse_options(int count, char **words);

} // namespace kubesim
