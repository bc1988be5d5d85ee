-- wrk: slates of users in turn. HISTORY: 0, 10, 200 or mixed.
local n = tonumber(os.getenv("USERS") or "50")
local kind = os.getenv("HISTORY") or "mixed"
local kinds = kind == "mixed" and {"0", "10", "200"} or {kind}
local k = 0
request = function()
  k = k + 1
  local who = kinds[k % #kinds + 1] .. "-" .. (k % n)
  return wrk.format("GET", "/api/v1/users/" .. who .. "/recommendations?n=20")
end
local bad = {}
response = function(status) bad[status] = (bad[status] or 0) + 1 end
