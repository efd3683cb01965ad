-- The sample shop for SQLite: 10,000 customers, the same ones each time.
--   sqlite3 shop.db < shop.sql
create table customers (
  id         integer primary key,
  email      text not null,
  first_name text,
  last_name  text,
  plan       text not null,
  mrr_cents  integer not null,
  country    text not null,
  updated_at text not null
);

with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 10000)
insert into customers
select n,
       'customer' || n || '@shop.example',
       case when n % 50 = 0 then null else
         case n % 8 when 0 then 'Ada' when 1 then 'Grace' when 2 then 'Edsger' when 3 then 'Barbara'
                    when 4 then 'Alan' when 5 then 'Radia' when 6 then 'Donald' else 'Katherine' end end,
       case n % 7 when 0 then 'Keller' when 1 then 'Okafor' when 2 then 'Silva' when 3 then 'Novak'
                  when 4 then 'Tanaka' when 5 then 'Moreau' else 'Larsen' end,
       case n % 3 when 0 then 'free' when 1 then 'team' else 'business' end,
       case n % 3 when 0 then 0 when 1 then 4900 else 19900 end,
       case n % 5 when 0 then 'DE' when 1 then 'US' when 2 then 'BR' when 3 then 'JP' else 'FR' end,
       strftime('%Y-%m-%dT%H:%M:%SZ', '2026-01-01 00:00:00', '+' || n || ' minutes')
from numbers;
